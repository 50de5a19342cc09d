"""Detections in columns, and the file that the Open Images challenge exchanges them in.

Shapes: n detections. Boxes are xmin, ymin, xmax, ymax as fractions of the image's width and height.

Files of detections may be larger than memory, so they are read and written a block at a time; a
block is a table with ids of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.data.open_images import CORNERS, IDS, corners, ids
from pipelines.data.tables import FloatArray, IntArray, Table, iter_tables, read_table
from pipelines.storage import atomic_path

_COLUMNS: dict[str, Any] = {
    "text": IDS,
    "numbers": ("Score", *CORNERS),
    "may_be_empty": True,
}
_HEADER = "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"
_NEEDS_QUOTES = frozenset('",\r\n')


@dataclass(frozen=True)
class PredictionTable:
    """Detections.

    Args:
        image_ids: Distinct, sorted.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct.
        label: ``[n]``, positions in ``class_ids``.
        score: ``[n]``.
        boxes: ``[n, 4]``.
    """

    image_ids: Sequence[str]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    score: FloatArray
    boxes: FloatArray

    def __len__(self) -> int:
        return len(self.image)


def read_predictions(path: Path) -> PredictionTable:
    """Read a submission to the Open Images challenge; it may hold no detection at all.

    Raises:
        DatasetError: If the file is not such a table.
    """
    return _detections(read_table(path, **_COLUMNS))


def iter_predictions(path: Path) -> Iterator[PredictionTable]:
    """Read a submission to the Open Images challenge block by block.

    Raises:
        DatasetError: If the file is not such a table; blocks above the first fault may have been
            yielded before it is found.
    """
    return map(_detections, iter_tables(path, **_COLUMNS))


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write what :func:`read_predictions` reads back bit for bit, in the same order."""
    with prediction_writer(path) as write:
        write(table)


PredictionSink: TypeAlias = Callable[[PredictionTable], None]


@contextmanager
def prediction_writer(path: Path) -> Iterator[PredictionSink]:
    """Yield a function that appends one block to the file, which appears when all is written.

    Numbers are written with as few digits as tell them from every other.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_HEADER.encode())
        yield lambda block: pyarrow.csv.write_csv(_columns(block), file, _quoting(block))


def _detections(table: Table) -> PredictionTable:
    return PredictionTable(**ids(table), score=table.numbers["Score"], boxes=corners(table))


def _columns(block: PredictionTable) -> pa.Table:
    xmin, ymin, xmax, ymax = np.ascontiguousarray(block.boxes.T)
    names = (
        pa.DictionaryArray.from_arrays(codes, pa.array(values, pa.string())).cast(pa.string())
        for values, codes in ((block.image_ids, block.image), (block.class_ids, block.label))
    )
    return pa.table([*names, block.score, xmin, xmax, ymin, ymax], _HEADER.strip().split(","))


def _quoting(block: PredictionTable) -> pyarrow.csv.WriteOptions:
    """Quote the ids where one of them needs it; Arrow would quote all or none."""
    special = any(_NEEDS_QUOTES & set(name) for name in (*block.image_ids, *block.class_ids))
    return pyarrow.csv.WriteOptions(
        include_header=False, quoting_style="needed" if special else "none"
    )
