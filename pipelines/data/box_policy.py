"""What to do with annotated boxes that are bad, the same everywhere.

Shapes: n boxes, c candidates for copies.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.config import BoxPolicy
from pipelines.data.annotations import BoxTable
from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.errors import DatasetError

ReadPolicy: TypeAlias = BoxPolicy | Literal["keep", "unchecked"]

_FARTHEST = 2.0  # VG-200 has boxes that reach to 1.752; a pixel count is larger
_LEAST_EXTENT = 1e-6  # of the image; some 16 steps of float32, so rounding cannot close the box
_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_SENTENCES = {
    "not_finite": "a corner of a box is not finite",
    "degenerate": "a box has no area",
    "outside": "a box leaves the image",
    "duplicate": "a box is a copy of an earlier one",
}
_POLICIES = "Correct the file, or pass --policy clip or --policy drop."
_ROWS_AT_ONCE = 1 << 20  # so that what is computed on the way stays small
_MULTIPLIER, _SHIFT = np.uint64(0xBF58476D1CE4E5B9), np.uint64(29)  # of splitmix64's mixer


@dataclass(frozen=True)
class BoxFaults:
    """Which boxes are bad, and how; a box may be bad in more than one way.

    Args:
        not_finite: ``[n]``, a corner is NaN or infinite; such a box has no other fault.
        outside: ``[n]``, it leaves the image.
        degenerate: ``[n]``, it has no area in single precision, as training sees it.
        duplicate: ``[n]``, an earlier box has its image, class, corners and group flag.
    """

    not_finite: BoolArray
    outside: BoolArray
    degenerate: BoolArray
    duplicate: BoolArray

    @property
    def any(self) -> BoolArray:
        """Return for each box ``[n]`` whether it is bad."""
        return self.not_finite | self.outside | self.degenerate | self.duplicate


def box_faults(table: BoxTable) -> BoxFaults:
    """Find the boxes that are bad."""
    finite = _finite(table.boxes)
    return BoxFaults(
        not_finite=~finite,
        outside=np.asarray(((table.boxes < 0) | (table.boxes > 1)).any(axis=1)) & finite,
        degenerate=~_has_float32_area(table.boxes) & finite,
        duplicate=_copies(table) & finite,
    )


def check_boxes(table: BoxTable, policy: ReadPolicy, *, in_place: bool = False) -> BoxTable:
    """Treat the boxes that :func:`box_faults` finds.

    Args:
        table: The boxes.
        policy: ``error`` refuses them; ``clip`` cuts boxes to the image, then drops what is not
            finite, has no area or is a copy; ``drop`` removes them; ``keep`` refuses only boxes
            that are not finite (the official evaluators count all others); ``unchecked`` looks at
            nothing.
        in_place: Do it in the table's own memory, as :meth:`BoxTable.select` does.

    Raises:
        DatasetError: Under ``error`` and ``keep``; names the first bad box and counts all.
    """
    if policy == "unchecked":
        return table
    if policy == "keep":
        _refuse(table, {"not_finite": ~_finite(table.boxes)}, "Correct the file.")
        return table
    faults = box_faults(table)
    if policy == "error":
        _refuse(table, vars(faults), _POLICIES)
    if policy == "clip" and faults.outside.any():
        table, in_place = table.select(~faults.not_finite, in_place=in_place), True
        table.boxes.clip(0.0, 1.0, out=table.boxes)
        faults = box_faults(table)
    return table.select(~faults.any, in_place=in_place) if faults.any.any() else table


def refuse_pixels(table: BoxTable) -> None:
    """Raise DatasetError if most boxes lie so far outside that their corners must be in pixels."""
    far = lies_far_outside(table.boxes)
    if 2 * np.count_nonzero(far) > len(table):
        row = int(far.argmax())
        raise pixels_error(table.boxes[row], int(np.count_nonzero(far)), table.where(row))


def lies_far_outside(boxes: FloatArray) -> BoolArray:
    """Return for each box ``[n, 4]`` whether a corner is beyond any annotator's slip."""
    return np.asarray(boxes.max(axis=1, initial=0) > _FARTHEST)


def pixels_error(box: FloatArray, count: int, where: str | Path) -> DatasetError:
    """Return the error for boxes that seem to be in pixels; names one of them."""
    return DatasetError(
        f"the box {box.tolist()} lies far outside the image ({count} such boxes)",
        where=where,
        mend="Coordinates are fractions of the image's width and height, not pixels.",
    )


def has_area(boxes: NDArray[np.floating[Any]]) -> BoolArray:
    """Return for each box ``[n, 4]`` whether its maxima exceed its minima."""
    return (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])


def _finite(boxes: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(boxes).all(axis=1))


def _has_float32_area(boxes: FloatArray) -> BoolArray:
    with np.errstate(over="ignore", invalid="ignore"):  # what single precision cannot hold
        wide, high = (
            boxes[:, side + 2].astype(np.float32) - boxes[:, side].astype(np.float32)
            > _LEAST_EXTENT
            for side in (0, 1)
        )
    return np.asarray(wide & high)


def _copies(table: BoxTable) -> BoolArray:
    """Return which boxes ``[n]`` repeat an earlier one; NaN equals nothing."""
    digests = _digests(table)
    candidates = np.flatnonzero(_is_among(_repeated(digests), digests))
    candidates = candidates[np.argsort(digests[candidates], kind="stable")]  # equals side by side
    copies = np.zeros(len(table), np.bool_)
    while len(candidates):
        run = np.searchsorted(digests[candidates], digests[candidates])  # [c], where its run starts
        first = candidates[run]
        equal = _same(table, first, candidates)
        copies[candidates[equal & (first != candidates)]] = True
        candidates = candidates[~equal & (first != candidates)]  # one digest, other boxes
    return copies


def _digests(table: BoxTable) -> NDArray[np.uint64]:
    """Return ``[n]``; equal boxes have equal digests."""
    digests = table.image.astype(np.uint64)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        for column in (table.label, table.group_of):
            _mix(digests[rows], column[rows].astype(np.uint64))
        for corner in table.boxes[rows].T:
            _mix(digests[rows], (corner + 0.0).view(np.uint64))  # -0.0 equals 0.0
    return digests


def _mix(digests: NDArray[np.uint64], column: NDArray[np.uint64]) -> None:
    digests ^= column
    digests *= _MULTIPLIER
    digests ^= digests >> _SHIFT


def _repeated(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return, in order, the values that are there more than once."""
    ordered = np.sort(values)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _is_among(ordered: NDArray[np.uint64], values: NDArray[np.uint64]) -> BoolArray:
    among = np.zeros(len(values), np.bool_)
    if not len(ordered):
        return among
    for start in range(0, len(values), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        place = np.searchsorted(ordered, values[rows]).clip(max=len(ordered) - 1)
        among[rows] = ordered[place] == values[rows]
    return among


def _same(table: BoxTable, some: IntArray, others: IntArray) -> BoolArray:
    """Return for pairs of rows ``[c]`` whether the boxes are equal."""
    columns = (table.image, table.label, table.group_of, *table.boxes.T)
    equal = [column[some] == column[others] for column in columns]
    return np.asarray(np.logical_and.reduce(equal))


def _refuse(table: BoxTable, faults: Mapping[str, BoolArray], mend: str) -> None:
    """Raise DatasetError for the first box of any fault."""
    bad = np.logical_or.reduce(list(faults.values()))
    if not bad.any():
        return
    rows = np.flatnonzero(bad)
    row = int(rows[np.lexsort((table.rows[rows], table.source[rows]))[0]])  # as the file has them
    values = zip(_CORNERS, table.boxes[row].tolist(), strict=True)
    corners = ", ".join(f"{name} {value}" for name, value in values)
    said = next(sentence for kind, sentence in _SENTENCES.items() if faults[kind][row])
    counts = (f"{mask.sum()} {kind}" for kind, mask in faults.items() if mask.any())
    raise DatasetError(
        f"{said} ({corners}); {bad.sum()} of {len(table)} boxes are bad: "
        f"{', '.join(counts).replace('_', ' ')}",
        where=table.where(row),
        mend=mend,
    )
