"""Bring annotations and detections onto the images and classes of one evaluation.

Shapes: n detections, m ground-truth boxes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, IntArray

Floats: TypeAlias = NDArray[np.floating[Any]]  # the precision is the metric's choice


@dataclass(frozen=True)
class GroundTruth:
    """Annotated boxes of the evaluated images and classes.

    Args:
        image: ``[m]``, the rank of the image in the evaluation.
        label: ``[m]``, the rank of the class.
        boxes: ``[m, 4]``.
        group_of: ``[m]``.
    """

    image: IntArray
    label: IntArray
    boxes: Floats
    group_of: BoolArray

    def select(self, rows: IntArray | BoolArray | slice) -> "GroundTruth":
        """Return some of the boxes."""
        return GroundTruth(
            self.image[rows], self.label[rows], self.boxes[rows], self.group_of[rows]
        )


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
        """Return the boxes that count."""
        image, label = self._ranks(table)
        truth = GroundTruth(image, label, table.boxes, table.group_of)
        return truth.select((image >= 0) & (label >= 0))

    def detections(self, table: PredictionTable) -> Detections:
        """Return the detections that count."""
        image, label = self._ranks(table)
        found = Detections(image, label, table.boxes, table.score)
        return found.select((image >= 0) & (label >= 0))

    def verified(
        self, found: Detections, truth: GroundTruth, labels: ImageLabelTable, rows: BoolArray
    ) -> Detections:
        """Return the detections of classes that have a box or one of the chosen labels there."""
        image, label = self._ranks(labels)
        counts = rows & (image >= 0) & (label >= 0)
        known = np.append(
            self._pairs(image[counts], label[counts]), self._pairs(truth.image, truth.label)
        )
        return found.select(np.isin(self._pairs(found.image, found.label), known))

    def _pairs(self, image: IntArray, label: IntArray) -> IntArray:
        """Return one number for each image and class."""
        return label * len(self.image_ids) + image

    def _ranks(
        self, table: BoxTable | ImageLabelTable | PredictionTable
    ) -> tuple[IntArray, IntArray]:
        """Return each row's image and class as positions in this evaluation, -1 where absent."""
        image = _positions(self.image_ids, table.image_ids)[table.image]
        return image, _positions(self.class_ids, table.class_ids)[table.label]


def _positions(known: Sequence[str], wanted: Sequence[str]) -> IntArray:
    rank = {name: index for index, name in enumerate(known)}
    return np.array([rank.get(name, -1) for name in wanted], np.int64)


def by_class(
    truth: GroundTruth, found: Detections, num_classes: int
) -> Iterator[tuple[GroundTruth, Detections]]:
    """Yield each class's boxes and detections, by image; detections by score within an image."""
    truth = truth.select(np.lexsort([truth.image, truth.label]))
    found = found.select(np.lexsort([found.image, found.label]))  # stable: rows keep their order
    classes = np.arange(num_classes + 1)
    truth_at, found_at = (np.searchsorted(table.label, classes) for table in (truth, found))
    for label in range(num_classes):
        detections = found.select(slice(found_at[label], found_at[label + 1]))
        yield (
            truth.select(slice(truth_at[label], truth_at[label + 1])),
            detections.select(_descending(detections)),
        )


def _descending(found: Detections) -> IntArray:
    """Order the scores within each image exactly as ``np.argsort(scores)[::-1]`` does."""
    order = np.arange(len(found.image))
    _, starts, counts = np.unique(found.image, return_index=True, return_counts=True)
    several = counts > 1
    for start, count in zip(starts[several].tolist(), counts[several].tolist(), strict=True):
        order[start : start + count] = start + np.argsort(found.score[start : start + count])[::-1]
    return order
