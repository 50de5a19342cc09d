"""Write predictions while they come: drawn pictures, JSON lines, and COCO results."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipelines.data.coco_results import (
    count_up,
    instances_path,
    instances_writer,
    numbers_of,
    results_writer,
)
from pipelines.data.image_prediction import Prediction
from pipelines.errors import ConfigError
from pipelines.storage import atomic_path, refuse_to_replace, refuse_unwritable
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class PredictionOutputs:
    """What is written besides what the caller shows.

    Args:
        save: Folder for the drawn pictures, named ``<image>.png``, in subfolders if images
            of several folders have one name.
        jsonl: JSON lines, one image a line; a line is there as soon as its image is done.
        coco: COCO results; the file appears when all is done.
        coco_annotations: The instances file that has the numbers of images and categories; without
            one they are counted, and ``<coco>-instances.json`` tells them.
    """

    save: Path | None = None
    jsonl: Path | None = None
    coco: Path | None = None
    coco_annotations: Path | None = None

    def refuse_clashes(self, files: Sequence[Path], inputs: Sequence[Path | None]) -> None:
        """Raise before any work what would go wrong at its end.

        Args:
            files: The images.
            inputs: What else is read.

        Raises:
            ConfigError: If an output would replace an input or another output, or cannot be one.
        """
        if self.coco_annotations is not None and self.coco is None:
            raise ConfigError("--coco-annotations needs --coco", mend="Name the results: --coco.")
        if self.save is not None:
            _refuse_overwriting(_drawing_paths(files, self.save))
        outputs = [*([self.jsonl] if self.jsonl else []), *self._coco_files()]
        for output in outputs:
            refuse_to_replace(output, [*files, *inputs, self.coco_annotations])
        if len({output.resolve() for output in outputs}) < len(outputs):
            raise ConfigError("two outputs have one name", where=outputs[0])
        refuse_unwritable(outputs)

    @contextmanager
    def opened(
        self, files: Sequence[Path], classes: Vocabulary
    ) -> Iterator[Callable[[Prediction], "Written"]]:
        """Yield a function that writes one prediction to all outputs.

        Args:
            files: The images that predictions may come of.
            classes: What is looked for.

        Raises:
            DatasetError: If the annotations are bad.
            MismatchError: If they do not belong to the images or the classes.
            OSError: If an output cannot be written.
        """
        with ExitStack() as stack:
            add_results = self._open_coco(stack, files, classes)
            paths = _drawing_paths(files, self.save) if self.save else {}
            write_line = stack.enter_context(_line_writer(self.jsonl)) if self.jsonl else _nowhere

            def write(prediction: Prediction) -> Written:
                picture = None
                if self.save and prediction.image is not None:
                    picture = _save_drawing(prediction, paths[prediction.image])
                left_out = add_results(prediction)
                written = Written(prediction, picture, left_out)
                write_line(written.as_line())
                return written

            yield write

    def _coco_files(self) -> tuple[Path, ...]:
        if self.coco is None:
            return ()
        beside = () if self.coco_annotations else (instances_path(self.coco),)
        return (self.coco, *beside)

    def _open_coco(
        self, stack: ExitStack, files: Sequence[Path], classes: Vocabulary
    ) -> Callable[[Prediction], int]:
        if self.coco is None:
            return lambda prediction: 0
        if self.coco_annotations is not None:
            numbers = numbers_of(self.coco_annotations, files, classes)
            return stack.enter_context(results_writer(self.coco, numbers))
        numbers = count_up(files, classes)
        results = stack.enter_context(results_writer(self.coco, numbers))
        beside = instances_writer(instances_path(self.coco), numbers, classes)
        add_image = stack.enter_context(beside)

        def add(prediction: Prediction) -> int:
            add_image(prediction)
            return results(prediction)

        return add


@dataclass(frozen=True)
class Written:
    """A prediction that was written.

    Args:
        prediction: What was found.
        picture: Where it was drawn, if it was.
        left_out: Its detections whose classes are no categories of the COCO annotations.
    """

    prediction: Prediction
    picture: Path | None
    left_out: int

    def as_dict(self) -> dict[str, object]:
        """Return ``{"image", "width", "height", "detections", "picture"}`` as JSON values."""
        found = self.prediction
        return {
            "image": str(found.image),
            "width": found.width,
            "height": found.height,
            "detections": [asdict(detection) for detection in found.detections],
            "picture": None if self.picture is None else str(self.picture),
        }

    def as_line(self) -> str:
        """Return the same as a line of JSON lines, without its end."""
        return json.dumps(self.as_dict())


def _nowhere(line: str) -> None:
    """Write a line nowhere."""


@contextmanager
def _line_writer(path: Path) -> Iterator[Callable[[str], None]]:
    """Yield a function that writes a line at once and whole, so that Ctrl-C leaves no half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        yield lambda line: _write_whole(file.write, f"{line}\n".encode())


def _write_whole(write: Callable[[bytes], int | None], content: bytes) -> None:
    while content:  # a full disk takes a part, and tells why at the next attempt
        content = content[write(content) or 0 :]


def _drawing_paths(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Return where each picture is drawn: by its name, below its folder where names are not unique.

    Raises:
        ConfigError: If two of one folder would be drawn as one file.
    """
    paths = {file: folder / f"{file.stem}.png" for file in files}
    if len(set(paths.values())) < len(paths):
        parents = {file: file.parent.resolve() for file in files}
        above = os.path.commonpath(parents.values())
        paths = {
            file: folder / parents[file].relative_to(above) / f"{file.stem}.png" for file in files
        }
    drawn: dict[Path, Path] = {}
    for file, path in paths.items():
        first = drawn.setdefault(path, file)
        if first is not file:
            raise ConfigError(
                f"{first} and {file} would both be drawn as {path}",
                mend="Draw them into two folders.",
            )
    return paths


def _refuse_overwriting(paths: Mapping[Path, Path]) -> None:
    originals = {file.resolve() for file in paths}
    for file, path in paths.items():
        if path.resolve() in originals:
            raise ConfigError(
                f"drawing {file} would overwrite a picture that was given",
                where=path,
                mend="Save the drawings in another folder.",
            )


def _save_drawing(prediction: Prediction, path: Path) -> Path:
    with atomic_path(path) as temporary:
        prediction.draw().save(temporary, format="PNG")
    return path
