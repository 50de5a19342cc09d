"""Stage 5: detect in pictures, list what was found, and draw it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from pipelines.artifacts import DetectionHead
from pipelines.data.class_choice import choose_rows
from pipelines.data.image_bytes import read_bytes
from pipelines.data.image_decoding import decode
from pipelines.data.image_listing import image_files
from pipelines.devices import resolve_device
from pipelines.drawing import LabelledBox, draw_boxes
from pipelines.errors import ConfigError, DatasetError
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import ImageDetections, detect
from pipelines.models.offline import load_head
from pipelines.models.postprocess import best_labels
from pipelines.storage import atomic_path

SAME_OBJECT = 0.5  # boxes that overlap more than this show one object, as in NMS within a class


@dataclass(frozen=True)
class Detection:
    """One object.

    Args:
        label: Class id.
        name: Class name.
        group: ``seen``, ``novel`` or ``other``.
        score: Between 0 and 1.
        box: x1, y1, x2, y2 in pixels.
    """

    label: str
    name: str
    group: str
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """What was found in one picture.

    Args:
        image: The file.
        width: In pixels.
        height: In pixels.
        detections: By descending score.
        picture: Where it was drawn, if it was.
    """

    image: Path
    width: int
    height: int
    detections: tuple[Detection, ...]
    picture: Path | None


def predict_images(
    checkpoint: Path,
    head: Path | None,
    images: Sequence[Path],
    *,
    classes: str = "all",
    score_threshold: float = 0.5,
    all_labels: bool = False,
    save: Path | None = None,
    device: str = "auto",
    batch_size: int = 4,
) -> Iterator[Prediction]:
    """Detect in every picture, one by one, in the order given.

    Args:
        checkpoint: A trained detector.
        head: Exported from it; None computes that of all classes of its classifier, which serves
            every method, also the one that no head file serves (``zsd``).
        images: Files, or folders whose images are all taken; turned as their EXIF orientation says.
        classes: Which of the head's classes to look for.
        score_threshold: Report what scores above this.
        all_labels: Report every class of an object, not only the one that scores highest.
        save: Folder for the drawn pictures, named ``<image>.png``.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    files = _image_files(images)
    if save is not None:
        _refuse_equal_names(files)
        _refuse_overwriting(files, save)
    full = load_head(checkpoint, head)
    chosen = full.subset(choose_rows(classes, full.vocabulary, full.groups))
    target = resolve_device(device)
    model = load_detector(checkpoint, chosen).to(target)
    model.roi_heads.score_thresh = score_threshold
    pictures: dict[str, Tensor] = {}

    def stream() -> Iterator[tuple[str, Tensor]]:
        for file in files:
            pictures[str(file)] = decode(read_bytes(file), file, upright=True)
            yield str(file), pictures[str(file)]

    for found in detect(model, stream(), target, batch_size):
        picture = pictures.pop(found.image_id)
        if not all_labels:
            found = found._replace(found=best_labels(found.found, SAME_OBJECT))
        yield _describe(found, chosen, picture, save)


def _image_files(images: Sequence[Path]) -> list[Path]:
    files: list[Path] = []
    for path in images:
        inside = image_files(path)
        if not path.exists() or (path.is_dir() and not inside):
            raise DatasetError("no image there" if path.is_dir() else "no such image", where=path)
        files += inside if path.is_dir() else [path]
    return list(dict.fromkeys(files))


def _refuse_equal_names(files: Sequence[Path]) -> None:
    drawn: dict[str, Path] = {}
    for file in files:
        first = drawn.setdefault(file.stem, file)
        if first is not file:
            raise ConfigError(
                f"{first} and {file} would both be drawn as {file.stem}.png",
                mend="Draw them into two folders.",
            )


def _refuse_overwriting(files: Sequence[Path], save: Path) -> None:
    originals = {file.resolve() for file in files}
    for file in files:
        if _drawing_path(file, save).resolve() in originals:
            raise ConfigError(
                f"drawing {file} would overwrite a picture that was given",
                where=_drawing_path(file, save),
                mend="Save the drawings in another folder.",
            )


def _describe(
    found: ImageDetections, head: DetectionHead, picture: Tensor, save: Path | None
) -> Prediction:
    boxes, scores, rows = (part.tolist() for part in found.found)
    detections = tuple(
        Detection(
            head.vocabulary.ids[row],
            head.vocabulary.names[row],
            head.groups[row],
            score,
            tuple(box),
        )
        for box, score, row in zip(boxes, scores, rows, strict=True)
    )
    image, (height, width) = Path(found.image_id), found.size
    drawn = _save_drawing(image, picture, detections, save) if save else None
    return Prediction(image, width, height, detections, drawn)


def _save_drawing(
    image: Path, picture: Tensor, detections: Sequence[Detection], folder: Path
) -> Path:
    boxes = [LabelledBox(d.box, f"{d.name} {d.score:.2f}", d.group) for d in detections]
    path = _drawing_path(image, folder)
    with atomic_path(path) as temporary:
        draw_boxes(picture, boxes).save(temporary, format="PNG")
    return path


def _drawing_path(image: Path, folder: Path) -> Path:
    return folder / f"{image.stem}.png"
