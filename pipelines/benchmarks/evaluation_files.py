"""The files that an evaluation reads, and their rows by image.

Shapes: n rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.predictions import PredictionTable, read_predictions
from pipelines.data.tables import IntArray


@dataclass(frozen=True)
class EvaluationFiles:
    """What there is to score.

    Args:
        predictions: Open Images challenge CSV.
        boxes: Open Images box CSV, taken as it is.
        image_labels: Verified image-level labels CSV; without it every class is verified.
        image_sizes: ``WIDTHxHEIGHT``, or a file of ``ImageID,height,width`` lines, for who counts
            in pixels.
    """

    predictions: Path
    boxes: Path
    image_labels: Path | None = None
    image_sizes: str = "1024x768"

    def read(self) -> tuple[BoxTable, ImageLabelTable | None, PredictionTable]:
        """Read the files as this program does."""
        labels = read_image_labels(self.image_labels) if self.image_labels else None
        return read_boxes(self.boxes, "keep"), labels, read_predictions(self.predictions)


def class_ids_of(*tables: BoxTable | ImageLabelTable | PredictionTable | None) -> tuple[str, ...]:
    """Return all classes that the tables name, sorted."""
    given = [table for table in tables if table is not None]
    return tuple(sorted({class_id for table in given for class_id in table.class_ids}))


def rows_by_image(
    table: BoxTable | ImageLabelTable | PredictionTable,
) -> Iterator[tuple[str, IntArray]]:
    """Yield each image that has rows, and their positions ``[n]`` in the order of the file."""
    order = np.argsort(table.image, kind="stable")
    images, starts = np.unique(table.image[order], return_index=True)
    parts = np.split(order, starts[1:]) if len(images) else []
    for image, rows in zip(images.tolist(), parts, strict=True):
        yield table.image_ids[image], rows
