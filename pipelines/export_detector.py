"""Stage 3b: a detector in the form that another program takes, checked on real images."""

import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import cast

from torch import Tensor

from pipelines.artifacts import DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.data.image_listing import SUFFIXES
from pipelines.data.images import ImageStore, open_images
from pipelines.data.pictures import read_file
from pipelines.errors import ConfigError, RunError
from pipelines.exporters.base import Agreement, Exporter, PlainDetector
from pipelines.exporters.description import expect_classes
from pipelines.exporters.formats import APPROXIMATE_SOFTMAX, FORMATS, Format, FormatName
from pipelines.models.detector_folder import CLASSES
from pipelines.storage import read_header_of, refuse_to_replace

SCORE_TOLERANCE = 1e-4  # twenty times the largest measured (docs/exports.md)
PIXEL_TOLERANCE = 0.05  # a hundred times the largest measured, 5.5e-4 for ONNX at 800 pixels
UNMATCHED_TOLERANCE = 0.01  # of the detections; a near-tie in suppression may fall either way


@dataclass(frozen=True)
class ExportDetectorReport:
    """What was exported, and how far it is from its source.

    Args:
        output: The file or folder.
        format: Its form.
        exactness: What is exact in it.
        classes: K.
        groups: Number of classes in each group.
        bytes: Of all files.
        images: What it was checked on.
        agreement: With the source.
    """

    output: Path
    format: str
    exactness: str
    classes: int
    groups: dict[str, int]
    bytes: int
    images: tuple[str, ...]
    agreement: Agreement


def export_detector(
    checkpoint: Path,
    output: Path,
    form: FormatName,
    *,
    head: Path | None = None,
    images: Sequence[Path] = (),
    count: int = 4,
    overwrite: bool = False,
    approximate_softmax: bool = False,
    on_step: Callable[[str], None] = lambda step: None,
) -> ExportDetectorReport:
    """Write a detector in another form, run what was written, and compare it with its source.

    Nothing is left behind unless they agree.

    Args:
        checkpoint: A trained detector, or a folder of the form ``directory``.
        output: A file or a folder, as the form is.
        form: See :data:`pipelines.exporters.formats.FORMATS`.
        head: Exported from the checkpoint; None computes that of all classes of its classifier.
        images: Pictures, folders and archives to compare on; by default those of training.
        count: How many of them: pictures first, then the first by id.
        overwrite: Replace what is there.
        approximate_softmax: For stock torchvision, which has no sigmoid.
        on_step: Called with what begins.

    Raises:
        RunError: If the export does not agree with its source.
        MismatchError: If the form cannot express the detector, or head and checkpoint do not
            belong together.
        WTNError: For bad inputs.
    """
    chosen = _format(form, approximate_softmax)
    _refuse_replacing(output, [checkpoint, head, *images], overwrite, chosen)
    source = PlainDetector.load(checkpoint, head)
    pictures = _images(images, checkpoint, count)
    exporter = cast(Exporter, import_module(f"pipelines.exporters.{chosen.module}"))
    with _folder_beside(output) as folder:
        on_step(f"write {form}")
        exporter.write(source, folder)
        on_step(f"run it on {len(pictures)} images")
        agreement = exporter.check(source, folder, list(pictures.values()))
        _check_classes(source, folder, approximate_softmax)
        _refuse_disagreement(agreement, form)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        _move(folder / chosen.file if chosen.file else folder, output)
    groups = dict(Counter(source.head.groups))
    return ExportDetectorReport(
        output,
        form,
        chosen.exactness,
        len(source.head.vocabulary),
        groups,
        size,
        tuple(pictures),
        agreement,
    )


def _format(form: FormatName, approximate_softmax: bool) -> Format:
    if not approximate_softmax:
        return FORMATS[form]
    if form != "torchvision":
        raise ConfigError(
            f"--approx-softmax is for stock torchvision, and {form} needs no approximation",
            mend="Leave it away.",
        )
    return APPROXIMATE_SOFTMAX


def _images(sources: Sequence[Path], checkpoint: Path, count: int) -> dict[str, Tensor]:
    """Return the first images by the name of their file: pictures named, then those in stores."""
    files = [path for path in sources if path.suffix.lower() in SUFFIXES and path.is_file()]
    pictures = {str(file): read_file(file) for file in files[:count]}
    stores = [path for path in sources if path not in files]
    if stores or not sources:
        store = open_images(*stores) if stores else _training_images(checkpoint)
        names = islice(store.ids, count - len(pictures))
        pictures |= {store.where(name): store.read(name) for name in names}
    return pictures


def _training_images(checkpoint: Path) -> ImageStore:
    """Open the images that a checkpoint was trained on, if they are where they were."""
    folders: tuple[Path, ...] = ()
    if checkpoint.is_file():
        form = DetectorCheckpoint
        header = read_header_of(checkpoint, form.FORMAT, form.HEADER, form.MADE_BY)
        folders = validate_settings(header["config"]).data.images
    if not folders or not all(folder.exists() for folder in folders):
        raise ConfigError(
            "an export is checked on real images, and those of training are not at hand",
            where=", ".join(map(str, folders)) or checkpoint,
            mend="Give some: --images FOLDER, a zip or a tar file.",
        )
    return open_images(*folders)


def _refuse_replacing(
    output: Path, inputs: Sequence[Path | None], overwrite: bool, form: Format
) -> None:
    """Raise ConfigError if an output cannot be put in its place, before any work."""
    refuse_to_replace(output, inputs)
    if not output.exists() and not output.is_symlink():
        return
    if not overwrite:
        raise ConfigError("exists", where=output, mend="Name another --output, or give --force.")
    problem = None
    if output.is_symlink():
        problem = "a link, which is not replaced"
    elif not output.is_file() and not output.is_dir():
        problem = "neither a file nor a folder, and not replaced"
    elif output.is_file() != (form.file is not None):
        is_file = "a file, and the form is a folder"
        problem = is_file if output.is_file() else "a folder, and the form is a file"
    elif output.is_dir():
        problem = _foreign(output, form)
    if problem is not None:
        raise ConfigError(problem, where=output, mend="Name another --output.")


def _foreign(folder: Path, form: Format) -> str | None:
    """Return why a folder is not an earlier export of a form, which may be replaced; or None."""
    ours = {*form.files, "__pycache__"}
    names = sorted(file.name for file in folder.iterdir())
    foreign = [name for name in names if name not in ours]
    if foreign:
        return f"the folder holds {foreign[0]!r}, which is not of the export"
    if not names:
        return None
    try:
        record = json.loads((folder / CLASSES).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    is_export = isinstance(record, dict) and "activation" in record
    return None if is_export else "the folder is no earlier export"


def _check_classes(source: PlainDetector, folder: Path, softmax: bool) -> None:
    """Raise RunError if the list of classes is not that of the head."""
    path = folder / CLASSES
    if path.exists():
        found = json.loads(path.read_text(encoding="utf-8"))
        expect_classes(path, found, source.head, softmax=softmax)


def _refuse_disagreement(found: Agreement, form: str) -> None:
    """Raise RunError unless an export does what its source does."""
    if found.count == 0:
        raise RunError(
            f"the images show nothing to compare: no {found.compared} in any of them"
            + (f" ({found.left_out} are too small or thin for the form)" if found.left_out else ""),
            mend="Give images with objects of these classes: --images FOLDER.",
        )
    problems = []
    if not found.scores <= SCORE_TOLERANCE:  # also if it is not a number
        problems.append(f"a score by {found.scores:.2g} (at most {SCORE_TOLERANCE:g})")
    if not found.boxes <= PIXEL_TOLERANCE:
        problems.append(f"a box by {found.boxes:.2g} pixels (at most {PIXEL_TOLERANCE:g})")
    if found.unmatched > UNMATCHED_TOLERANCE * found.count:
        problems.append(
            f"{found.unmatched} detections of the two have no counterpart ({found.count} compared)"
        )
    if problems:
        raise RunError(
            f"the {form} export differs from its source: {'; '.join(problems)}. It was not kept",
            mend="A detector that learned little has scores that are nearly equal, and rounding "
            "decides which it keeps. Else this is a defect: please report it with the versions of "
            "torch and torchvision.",
        )


@contextmanager
def _folder_beside(output: Path) -> Iterator[Path]:
    """Yield an empty folder on the same disk, which is gone afterwards."""
    output.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.", suffix=".tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(made: Path, output: Path) -> None:
    """Put a file or folder in its place; the folder that was there goes at last."""
    if not output.is_dir():
        made.replace(output)
        return
    earlier = output.rename(made.with_name(f"{made.name}.earlier"))
    try:
        made.replace(output)
    except BaseException:  # also Ctrl-C
        earlier.rename(output)
        raise
    shutil.rmtree(earlier)
