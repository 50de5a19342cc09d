"""What to do with annotated boxes that are bad, the same everywhere.

Shapes: n boxes.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.config import BoxPolicy
from pipelines.data.annotations import BoxTable
from pipelines.data.tables import BoolArray, FloatArray
from pipelines.errors import DatasetError

ReadPolicy: TypeAlias = BoxPolicy | Literal["keep"]

_LEAST_EXTENT = 1e-6  # of the image; some 16 steps of float32, so rounding cannot close the box
_CORNERS = ("XMin", "YMin", "XMax", "YMax")


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
        where=table.where(row),
        mend="Correct the file, or pass --box-policy clip or --box-policy drop.",
    )
