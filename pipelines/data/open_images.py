"""Boxes, image-level labels and predictions in the column layout of Open Images.

Shapes: n rows. Boxes are xmin, ymin, xmax, ymax as fractions of the image's width and height.
Rows keep the order of the file: the metrics break ties with it.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.config import BoxPolicy
from pipelines.data.tables import BoolArray, FloatArray, IntArray, Table, read_table
from pipelines.errors import DatasetError
from pipelines.storage import atomic_path

ReadPolicy: TypeAlias = BoxPolicy | Literal["keep"]

_LEAST_EXTENT = 1e-6  # of the image; some 16 steps of float32, so rounding cannot close the box

_IDS = ("ImageID", "LabelName")
_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_PREDICTION_COLUMNS = ("ImageID", "LabelName", "Score", "XMin", "XMax", "YMin", "YMax")


@dataclass(frozen=True)
class BoxTable:
    """Annotated boxes.

    Args:
        image_ids: Distinct, sorted; an image may have lost all its boxes to a policy.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct, sorted.
        label: ``[n]``, positions in ``class_ids``.
        boxes: ``[n, 4]``.
        group_of: ``[n]``, whether the box holds a group of objects.
        source: The file.
        lines: ``[n]``, the line of each box in the file.
    """

    image_ids: tuple[str, ...]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    boxes: FloatArray
    group_of: BoolArray
    source: Path
    lines: IntArray

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: IntArray | BoolArray) -> "BoxTable":
        """Return the boxes of ``rows`` (positions or a mask); the ids stay."""
        return replace(
            self,
            image=self.image[rows],
            label=self.label[rows],
            boxes=self.boxes[rows],
            group_of=self.group_of[rows],
            lines=self.lines[rows],
        )


@dataclass(frozen=True)
class ImageLabelTable:
    """Classes that a person has verified to be in an image, or not to be.

    Args:
        image_ids: Distinct, sorted.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct, sorted.
        label: ``[n]``, positions in ``class_ids``.
        positive: ``[n]``, whether the class is in the image.
    """

    image_ids: tuple[str, ...]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    positive: BoolArray

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class PredictionTable:
    """Detections.

    Args:
        image_ids: Distinct, sorted.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct, sorted.
        label: ``[n]``, positions in ``class_ids``.
        score: ``[n]``.
        boxes: ``[n, 4]``.
    """

    image_ids: tuple[str, ...]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    score: FloatArray
    boxes: FloatArray

    def __len__(self) -> int:
        return len(self.image)


def read_boxes(path: Path, policy: ReadPolicy = "error") -> BoxTable:
    """Read ImageID, LabelName, XMin, XMax, YMin, YMax and, where present, IsGroupOf.

    Raises:
        DatasetError: If the file is not such a table, or as :func:`check_boxes` does.
    """
    table = read_table(path, text=_IDS, numbers=_CORNERS, optional=("IsGroupOf",))
    unknown = np.zeros(len(table.lines))
    boxes = BoxTable(
        **_ids(table),
        boxes=_corners(table),
        group_of=table.numbers.get("IsGroupOf", unknown) == 1,  # -1 means that nobody looked
        source=path,
        lines=table.lines,
    )
    return check_boxes(boxes, policy)


def check_boxes(table: BoxTable, policy: ReadPolicy) -> BoxTable:
    """Treat boxes that leave the image or have no area in single precision, as training sees them.

    Args:
        table: The boxes.
        policy: ``error`` refuses them, ``clip`` cuts them to the image and drops what has no area
            then, ``drop`` removes them, ``keep`` leaves them as they are (as the official
            evaluators do).

    Raises:
        DatasetError: Under ``error``; names the first such box.
    """
    if policy == "keep":
        return table
    if policy == "clip":
        table = replace(table, boxes=table.boxes.clip(0.0, 1.0))
    outside = ((table.boxes < 0) | (table.boxes > 1)).any(axis=1)
    bad = outside | ~_has_float32_area(table.boxes)
    if policy == "error" and bad.any():
        raise _bad_box(table, int(bad.argmax()), int(bad.sum()))
    return table.select(~bad)


def has_area(boxes: NDArray[np.floating[Any]]) -> BoolArray:
    """Return for each box ``[n, 4]`` whether its maxima exceed its minima."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _has_float32_area(boxes: FloatArray) -> BoolArray:
    corners = boxes.astype(np.float32)
    extents = corners[:, 2:] - corners[:, :2]
    return (extents[:, 0] > _LEAST_EXTENT) & (extents[:, 1] > _LEAST_EXTENT)


def _bad_box(table: BoxTable, row: int, count: int) -> DatasetError:
    values = ", ".join(
        f"{name} {value}" for name, value in zip(_CORNERS, table.boxes[row].tolist(), strict=True)
    )
    fault = "leaves the image" if _has_float32_area(table.boxes[[row]])[0] else "has no area"
    return DatasetError(
        f"a box {fault} ({values}); {count} of {len(table)} boxes are bad",
        where=f"{table.source}:{table.lines[row]}",
        mend="Correct the file, or pass --box-policy clip or --box-policy drop.",
    )


def read_image_labels(path: Path) -> ImageLabelTable:
    """Read ImageID, LabelName and Confidence, which is 1 (present) or 0 (absent).

    Raises:
        DatasetError: If the file is not such a table.
    """
    table = read_table(path, text=_IDS, numbers=("Confidence",))
    confidence = table.numbers["Confidence"]
    unverified = (confidence != 0) & (confidence != 1)
    if unverified.any():
        row = int(unverified.argmax())
        raise DatasetError(
            f"Confidence must be 0 or 1, found {confidence[row]}",
            where=f"{path}:{table.lines[row]}",
            mend="Pass the human-verified labels, not the machine-generated ones.",
        )
    return ImageLabelTable(**_ids(table), positive=confidence == 1)


def read_predictions(path: Path) -> PredictionTable:
    """Read a submission to the Open Images challenge; it may hold no detection at all.

    Raises:
        DatasetError: If the file is not such a table.
    """
    table = read_table(path, text=_IDS, numbers=("Score", *_CORNERS), may_be_empty=True)
    return PredictionTable(**_ids(table), score=table.numbers["Score"], boxes=_corners(table))


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write what :func:`read_predictions` reads back bit for bit, in the same order."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_PREDICTION_COLUMNS)
        writer.writerows(_prediction_rows(table))


def _prediction_rows(table: PredictionTable) -> Iterator[tuple[str | float, ...]]:
    columns = zip(
        table.image.tolist(),
        table.label.tolist(),
        table.score.tolist(),
        table.boxes.tolist(),
        strict=True,
    )
    for image, label, score, (xmin, ymin, xmax, ymax) in columns:
        yield table.image_ids[image], table.class_ids[label], score, xmin, xmax, ymin, ymax


def _ids(table: Table) -> dict[str, Any]:
    images, classes = table.text["ImageID"], table.text["LabelName"]
    return {
        "image_ids": images.values,
        "image": images.codes,
        "class_ids": classes.values,
        "label": classes.codes,
    }


def _corners(table: Table) -> FloatArray:
    return np.stack([table.numbers[name] for name in _CORNERS], axis=1)
