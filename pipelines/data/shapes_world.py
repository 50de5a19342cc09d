"""Write the procedural world to disk, in the layout of Open Images.

``classes.csv`` lists all classes in the classifier's order, ``seen-classes.csv`` those with boxes.
Each split is a zip of ``<ImageID>.jpg``, a box CSV, and the image-level labels that say which
classes were verified as present (1) or absent (0). The crops of all classes, for the classifier,
are one safetensors file.
"""

import csv
import io
import itertools
import json
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file

from pipelines.data.shapes import (
    ShapesSettings,
    choose_seen,
    class_attributes,
    long_tailed_counts,
    shapes_hierarchy,
    shapes_vocabulary,
)
from pipelines.data.shapes_scenes import SceneBox, deal_scenes, draw_crop, draw_scene
from pipelines.errors import DatasetError
from pipelines.storage import atomic_path
from pipelines.vocabulary import Vocabulary

BOX_COLUMNS = (
    *("ImageID", "Source", "LabelName", "Confidence", "XMin", "XMax", "YMin", "YMax"),
    *("IsOccluded", "IsTruncated", "IsGroupOf", "IsDepiction", "IsInside"),
)
LABEL_COLUMNS = ("ImageID", "Source", "LabelName", "Confidence")
CLASS_COLUMNS = ("LabelName", "DisplayName")
# Every random choice belongs to one of these streams of the seed, so changing the size of one part
# of the world leaves the pixels of the others as they were.
CHOICE, TRAIN, VAL_SEEN, VAL_NOVEL, CROPS = range(5)


@dataclass(frozen=True)
class ShapesSplit:
    """The files of one split."""

    images: Path
    boxes: Path
    labels: Path

    @classmethod
    def at(cls, folder: Path, name: str) -> "ShapesSplit":
        """Return the files of a split in a folder, written or not."""
        return cls(
            images=folder / f"{name}.zip",
            boxes=folder / f"{name}-annotations-bbox.csv",
            labels=folder / f"{name}-annotations-human-imagelabels.csv",
        )


@dataclass(frozen=True)
class ShapesWorld:
    """Where the parts of a written world are."""

    classes: Path
    seen_classes: Path
    hierarchy: Path
    crops: Path
    train: ShapesSplit
    val_seen: ShapesSplit
    val_novel: ShapesSplit

    @classmethod
    def at(cls, folder: Path) -> "ShapesWorld":
        """Return the files of the world in a folder, written or not."""
        return cls(
            classes=folder / "classes.csv",
            seen_classes=folder / "seen-classes.csv",
            hierarchy=folder / "hierarchy.json",
            crops=folder / "crops.safetensors",
            train=ShapesSplit.at(folder, "train"),
            val_seen=ShapesSplit.at(folder, "val-seen"),
            val_novel=ShapesSplit.at(folder, "val-novel"),
        )

    @property
    def files(self) -> tuple[Path, ...]:
        """All of them."""
        splits = (self.train, self.val_seen, self.val_novel)
        of_splits = (path for s in splits for path in (s.images, s.boxes, s.labels))
        return (self.classes, self.seen_classes, self.hierarchy, self.crops, *of_splits)


def write_shapes_world(
    folder: Path,
    settings: ShapesSettings,
    on_picture: Callable[[int, int], None] = lambda drawn, total: None,
) -> ShapesWorld:
    """Draw and write the whole world; the same settings give the same bytes.

    Args:
        folder: Where to write; made if missing, files of the same names are replaced.
        settings: The sizes of its parts, and the seed.
        on_picture: Called after each crop and scene with how many are drawn, and how many will be.

    Raises:
        DatasetError: If the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"cannot make the folder ({error.strerror})", where=folder, mend="Name another one."
        ) from error
    vocabulary, world = shapes_vocabulary(settings.accents), ShapesWorld.at(folder)
    seen = choose_seen(settings.num_seen, _stream(settings, CHOICE), settings.accents)
    novel = np.setdiff1d(np.arange(settings.num_classes), seen)
    world.hierarchy.write_text(json.dumps(shapes_hierarchy(settings.accents), indent=1))
    _write_classes(world.classes, vocabulary)
    _write_classes(world.seen_classes, vocabulary.subset(seen.tolist()))
    labels, drawn = _crop_labels(settings), itertools.count(1)
    total = len(labels) + settings.num_train + settings.num_val_seen + settings.num_val_novel

    def tell() -> None:
        on_picture(next(drawn), total)

    _write_crops(world.crops, labels, settings, tell)
    _write_split(world.train, seen, settings.num_train, TRAIN, settings, tell)
    _write_split(world.val_seen, seen, settings.num_val_seen, VAL_SEEN, settings, tell)
    _write_split(world.val_novel, novel, settings.num_val_novel, VAL_NOVEL, settings, tell)
    return world


def _stream(settings: ShapesSettings, *key: int) -> np.random.Generator:
    return np.random.default_rng((settings.seed, *key))


def _write_classes(path: Path, classes: Vocabulary) -> None:
    _write_csv(path, CLASS_COLUMNS, zip(classes.ids, classes.names, strict=True))


def _crop_labels(settings: ShapesSettings) -> NDArray[np.int64]:
    """Return the class of each crop, sorted."""
    classes, rng = settings.num_classes, _stream(settings, CROPS)
    counts = long_tailed_counts(classes, settings.num_crops, settings.min_crops, rng)
    return np.repeat(np.arange(classes), counts)


def _write_crops(
    path: Path, labels: NDArray[np.int64], settings: ShapesSettings, tell: Callable[[], None]
) -> None:
    """Write crops sorted by class: ``images`` uint8 ``[n, s, s, 3]``, ``labels`` int64 ``[n]``.

    ``attributes`` int64 ``[n, G]`` are the positions of the values of their attributes.
    """
    size, accents = settings.crop_size, settings.accents
    images = np.empty((len(labels), size, size, 3), np.uint8)
    for index, row in enumerate(labels.tolist()):
        images[index] = draw_crop(row, size, _stream(settings, CROPS, index), accents)
        tell()
    tensors: dict[str, NDArray[Any]] = {
        "images": images,
        "labels": labels,
        "attributes": class_attributes(accents)[labels],
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)


def _write_split(
    split: ShapesSplit,
    classes: NDArray[np.int64],
    num_scenes: int,
    stream: int,
    settings: ShapesSettings,
    tell: Callable[[], None],
) -> None:
    """Write the scenes of ``classes`` and their annotations."""
    ids, name = shapes_vocabulary(settings.accents).ids, split.images.stem
    box_rows: list[Sequence[object]] = []
    label_rows: list[Sequence[object]] = []
    with zipfile.ZipFile(split.images, "w") as archive:
        for index, rows in enumerate(deal_scenes(classes, num_scenes, _stream(settings, stream))):
            rng = _stream(settings, stream, index)
            image_id = f"{name}-{index:05d}"
            image, boxes = draw_scene(rows, settings.scene_size, rng, settings.accents)
            _add_jpeg(archive, f"{image_id}.jpg", image)
            box_rows += [_box_row(image_id, ids[box.row], box) for box in boxes]
            absent = _verified_absent(rows, classes, settings, rng)
            for verified, confidence in ((np.unique(rows), 1), (absent, 0)):
                label_rows += [
                    (image_id, "verification", ids[row], confidence) for row in verified.tolist()
                ]
            tell()
    _write_csv(split.boxes, BOX_COLUMNS, box_rows)
    _write_csv(split.labels, LABEL_COLUMNS, label_rows)


def _box_row(image_id: str, class_id: str, box: SceneBox) -> Sequence[object]:
    extent = [f"{edge:.6f}" for edge in box.extent]
    return (
        image_id, "procedural", class_id, 1, *extent, int(box.occluded), int(box.truncated), 0, 0, 0
    )  # fmt: skip


def _verified_absent(
    present: NDArray[np.int64],
    classes: NDArray[np.int64],
    settings: ShapesSettings,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Choose classes that are not in a scene: half of them near misses.

    A near miss differs in one attribute from a class that is there. Annotators are asked about
    what is likely in an image, so these are the fair test.
    """
    attributes, count = class_attributes(settings.accents), settings.num_negatives
    absent = rng.permutation(np.setdiff1d(classes, present))
    shared = (attributes[absent][:, None] == attributes[present][None]).sum(axis=2).max(axis=1)
    is_near = shared == attributes.shape[1] - 1
    near, far = absent[is_near], absent[~is_near]
    num_near = min(len(near), count // 2)
    return np.sort(np.concatenate([near[:num_near], far[: count - num_near]]))


def _add_jpeg(archive: zipfile.ZipFile, name: str, image: NDArray[np.uint8]) -> None:
    """Store an image; the entry carries no time of day, so that the archive's bytes repeat."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=92, subsampling=0)
    archive.writestr(zipfile.ZipInfo(name), buffer.getvalue())


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
