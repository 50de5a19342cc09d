"""Match the detections of one class with its annotated boxes.

Shapes: n detections, m ground-truth boxes, p pairs of both in one image.

Both official evaluators let a detection look at one ground-truth box only, the one that it overlaps
most. So matching needs no loop: take each detection's best box, and each box's first detection.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from pipelines.data.tables import BoolArray, IntArray
from pipelines.metrics.joining import Detections, Floats, GroundTruth

Overlap: TypeAlias = Callable[[Floats, Floats], Floats]  # two times [p, 4] -> [p]


@dataclass(frozen=True)
class BoxGeometry:
    """Areas under one convention of what a box's corners mean.

    Args:
        border: Added to every width and height: 1 where the far corner is the last pixel inside
            the box, 0 where it is the border.
    """

    border: int

    def iou(self, found: Floats, truth: Floats) -> Floats:
        """Return the intersection over union ``[p]`` of boxes ``[p, 4]``, pair by pair."""
        intersection = self._intersection(found, truth)
        iou: Floats = intersection / (self._area(found) + self._area(truth) - intersection)
        return iou

    def intersection_over_area(self, found: Floats, truth: Floats) -> Floats:
        """Return which share ``[p]`` of each detection lies in the box it is paired with."""
        share: Floats = self._intersection(found, truth) / self._area(found)
        return share

    def _intersection(self, found: Floats, truth: Floats) -> Floats:
        sides = np.minimum(found[:, 2:], truth[:, 2:]) - np.maximum(found[:, :2], truth[:, :2])
        width, height = np.maximum(sides + self.border, 0).T
        intersection: Floats = width * height
        return intersection

    def _area(self, boxes: Floats) -> Floats:
        width, height = (boxes[:, 2:] - boxes[:, :2] + self.border).T
        area: Floats = width * height
        return area


@dataclass(frozen=True)
class Pairs:
    """Every detection with every ground-truth box of its image, for one class.

    Args:
        found: The n detections.
        truth: The m boxes.
        detection: ``[p]``, positions in ``found``, ascending.
        box: ``[p]``, positions in ``truth``, ascending for each detection.
    """

    found: Detections
    truth: GroundTruth
    detection: IntArray
    box: IntArray

    @classmethod
    def of(cls, truth: GroundTruth, found: Detections) -> "Pairs":
        """Pair the rows of one class, both sorted by image."""
        first = np.searchsorted(truth.image, found.image, side="left")
        count = np.searchsorted(truth.image, found.image, side="right") - first
        detection = np.repeat(np.arange(len(found.image)), count)
        before = np.repeat(count.cumsum() - count, count)
        return cls(found, truth, detection, first[detection] + np.arange(len(detection)) - before)

    def of_groups(self, group_of: bool) -> "Pairs":
        """Keep the pairs whose box holds a group, or those whose box does not."""
        kept = self.truth.group_of[self.box] == group_of
        return replace(self, detection=self.detection[kept], box=self.box[kept])

    def best(self, overlap: Overlap, threshold: float) -> IntArray:
        """Return ``[n]``: the first box that each detection overlaps most; -1 below threshold."""
        with np.errstate(divide="ignore", invalid="ignore"):  # annotated boxes may have no area
            value = overlap(self.found.boxes[self.detection], self.truth.boxes[self.box])
            most = np.full(len(self.found.image), -np.inf, value.dtype)
            np.maximum.at(most, self.detection, value)
        at_most = np.flatnonzero((value == most[self.detection]) & (value >= threshold))
        detection, first = np.unique(self.detection[at_most], return_index=True)
        match = np.full(len(self.found.image), -1)
        match[detection] = self.box[at_most[first]]
        return match


def first_of_each(match: IntArray) -> BoolArray:
    """Return ``[n]``: whether a detection is the first that matched its box."""
    matched = np.flatnonzero(match >= 0)
    _, first = np.unique(match[matched], return_index=True)
    is_first = np.zeros(len(match), np.bool_)
    is_first[matched[first]] = True
    return is_first
