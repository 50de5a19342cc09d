"""Bring annotations and detections onto the images and classes of one evaluation.

Shapes: n detections, m ground-truth boxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, FloatArray, IntArray

Floats: TypeAlias = NDArray[np.floating[Any]]  # the precision is the metric's choice


@dataclass(frozen=True)
class GroundTruth:
    """Annotated boxes of the evaluated images and classes.

    Args:
        image: ``[m]``, the rank of the image in the evaluation.
        label: ``[m]``, the rank of the class.
        boxes: ``[m, 4]``.
        group_of: ``[m]``.
        area: ``[m]``, the objects' areas in square pixels where the data set tells them.
    """

    image: IntArray
    label: IntArray
    boxes: Floats
    group_of: BoolArray
    area: FloatArray | None = None

    def select(self, rows: IntArray | BoolArray | slice) -> "GroundTruth":
        """Return some of the boxes."""
        area = None if self.area is None else self.area[rows]
        return GroundTruth(
            self.image[rows], self.label[rows], self.boxes[rows], self.group_of[rows], area
        )

    def by_class(self, num_classes: int) -> Iterator["GroundTruth"]:
        """Yield the boxes of each class, given all of them sorted by class."""
        bounds = np.searchsorted(self.label, np.arange(num_classes + 1))
        for start, stop in pairwise(bounds.tolist()):
            yield self.select(slice(start, stop))


@dataclass(frozen=True)
class Detections:
    """Detections in the evaluated images and classes.

    Args:
        image: ``[n]``, the rank of the image in the evaluation.
        label: ``[n]``, the rank of the class.
        boxes: ``[n, 4]``.
        score: ``[n]``.
    """

    image: IntArray
    label: IntArray
    boxes: Floats
    score: Floats

    def select(self, rows: IntArray | BoolArray | slice) -> "Detections":
        """Return some of the detections."""
        return Detections(self.image[rows], self.label[rows], self.boxes[rows], self.score[rows])


@dataclass(frozen=True)
class Evaluation:
    """The images and classes that count, in the order in which they are gone through."""

    image_ids: Sequence[str]
    class_ids: Sequence[str]

    def ground_truth(self, table: BoxTable) -> GroundTruth:
        """Return the boxes that count, by class, and by image within a class."""
        image, label = self._ranks(table)
        rows = np.flatnonzero((image >= 0) & (label >= 0))
        rows = rows[np.lexsort([image[rows], label[rows]])]
        return GroundTruth(image, label, table.boxes, table.group_of, table.area).select(rows)

    def detections(self, table: PredictionTable) -> Detections:
        """Return all detections in their order; the rank of an image or class may be -1."""
        return Detections(*self._ranks(table), table.boxes, table.score)

    def verified_pairs(
        self, truth: GroundTruth, labels: ImageLabelTable, rows: BoolArray
    ) -> IntArray:
        """Return, sorted, the number of each image and class with a box or one of the labels."""
        image, label = self._ranks(labels)
        counts = rows & (image >= 0) & (label >= 0)
        return np.unique(
            np.append(
                self.pairs(image[counts], label[counts]), self.pairs(truth.image, truth.label)
            )
        )

    def pairs(self, image: IntArray, label: IntArray) -> IntArray:
        """Return one number for each image and class."""
        return label * len(self.image_ids) + image

    @cached_property
    def _image_rank(self) -> dict[str, int]:
        return {name: rank for rank, name in enumerate(self.image_ids)}

    @cached_property
    def _class_rank(self) -> dict[str, int]:
        return {name: rank for rank, name in enumerate(self.class_ids)}

    def _ranks(
        self, table: BoxTable | ImageLabelTable | PredictionTable
    ) -> tuple[IntArray, IntArray]:
        """Return each row's image and class as positions in this evaluation, -1 where absent."""
        image = _positions(self._image_rank, table.image_ids)[table.image]
        return image, _positions(self._class_rank, table.class_ids)[table.label]


def _positions(rank: dict[str, int], wanted: Sequence[str]) -> IntArray:
    return np.fromiter((rank.get(name, -1) for name in wanted), np.int64, len(wanted))


def by_image(found: Detections) -> Detections:
    """Sort the detections of a class by image, and by descending score within an image.

    Equal scores of an image come in the order of ``np.argsort(scores)[::-1]``, as both official
    evaluators take them, which depends on how many scores there are.
    """
    found = found.select(np.argsort(found.image, kind="stable"))
    order = np.arange(len(found.image))
    _, starts, counts = np.unique(found.image, return_index=True, return_counts=True)
    for count in np.unique(counts[counts > 1]).tolist():  # images with as many, all at once
        rows = starts[counts == count, None] + np.arange(count)
        descending = np.argsort(found.score[rows], axis=1)[:, ::-1]
        order[rows] = rows[:, :1] + descending
    return found.select(order)
