"""Detections in columns, and the file that the Open Images challenge exchanges them in.

Shapes: n detections. Boxes are xmin, ymin, xmax, ymax as fractions of the image's width and height.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.data.open_images import CORNERS, IDS, corners, ids
from pipelines.data.tables import FloatArray, IntArray, read_table
from pipelines.storage import atomic_path

_COLUMNS = ("ImageID", "LabelName", "Score", "XMin", "XMax", "YMin", "YMax")


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
    table = read_table(path, text=IDS, numbers=("Score", *CORNERS), may_be_empty=True)
    return PredictionTable(**ids(table), score=table.numbers["Score"], boxes=corners(table))


def write_predictions(path: Path, table: PredictionTable) -> None:
    """Write what :func:`read_predictions` reads back bit for bit, in the same order."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_COLUMNS)
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
