"""``oid``: average precision as the Open Images challenge defines it.

Shapes: n detections, m ground-truth boxes, p pairs.

Follows ``per_image_evaluation.py`` and ``OpenImagesChallengeEvaluator`` of the TensorFlow Object
Detection API, down to the order in which equal scores are taken.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.box_policy import has_area
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.metrics.evaluation import evaluate_table
from pipelines.metrics.joining import Detections, Floats, GroundTruth, by_image
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.matching import BoxGeometry, Pairs, first_of_each
from pipelines.metrics.rules import ClassJudge, Rules

_GEOMETRY = BoxGeometry(border=0)
_MAX_DETECTIONS = 10_000  # of one class in one image


@dataclass(frozen=True)
class OpenImagesRules(Rules):
    """The rules of the Open Images challenge.

    Args:
        group_of_weight: What finding a group is worth, and missing it costs: 1 in the challenge of
            2018; with 0 groups are neither found nor missed.
        iou_threshold: The overlap that makes a match.

    Raises:
        ConfigError: If the weight is negative or not finite.
    """

    group_of_weight: float = 1.0
    iou_threshold: float = 0.5

    name: ClassVar[str] = "oid"
    recall_without_detections: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.group_of_weight < math.inf:
            raise ConfigError(
                f"the weight of a group must be 0 or more, found {self.group_of_weight}"
            )

    def image_ids(self, annotations: Annotations) -> Sequence[str]:
        """Return all annotated images."""
        return annotations.image_ids

    def verifies(self, labels: ImageLabelTable) -> BoolArray:
        """Every verified label counts, whether the class is present or absent."""
        return np.ones(len(labels), np.bool_)

    def is_valid(self, boxes: Floats) -> BoolArray:
        """Detections without area are dropped."""
        return has_area(boxes)

    def worth(self, truth: GroundTruth) -> FloatArray:
        """A group counts with its weight."""
        return np.where(truth.group_of, self.group_of_weight, 1.0)

    def judge_for(self, image_ids: Sequence[str]) -> ClassJudge:
        """Return the judge of a class; an image without detections counts like any other."""
        return lambda truth, found, has_detections: self._judge(truth, by_image(found))

    def _judge(self, truth: GroundTruth, found: Detections) -> Judgement:
        """Judge the detections of one class.

        A detection that finds no object but lies in a group is taken out, and the best of those in
        a group stand for it as one entry.
        """
        found = found.select(_rank_in_image(found.image) < _MAX_DETECTIONS)
        pairs = Pairs.of(truth, found)
        is_true = first_of_each(pairs.of_groups(False).best(_GEOMETRY.iou, self.iou_threshold))
        lies_in = pairs.of_groups(True)
        group = lies_in.best(_GEOMETRY.intersection_over_area, self.iou_threshold)
        in_group = (group >= 0) & ~is_true
        group_score = np.zeros(len(truth.image))
        np.maximum.at(group_score, group[in_group], found.score[in_group])
        credited = np.flatnonzero((group_score > 0) & (self.group_of_weight > 0))

        image = np.append(found.image[~in_group], truth.image[credited])
        score = np.append(found.score[~in_group], group_score[credited])
        credit = np.append(is_true[~in_group], np.full(len(credited), self.group_of_weight))
        order = np.argsort(image, kind="stable")  # in each image the groups come last
        num_groups = int(truth.group_of.sum())
        num_ground_truth = len(truth.image) - num_groups + self.group_of_weight * num_groups
        return Judgement(
            score=score[order],
            credit=credit[order],
            image=image[order],
            num_ground_truth=num_ground_truth,
            truth_image=truth.image,
            truth_worth=self.worth(truth),
        )


def open_images_metric(
    boxes: BoxTable,
    labels: ImageLabelTable | None,
    predictions: PredictionTable,
    class_ids: Sequence[str],
    *,
    group_of_weight: float = 1.0,
    iou_threshold: float = 0.5,
) -> DetectionMetrics:
    """Score predictions; every class with ground truth counts, detected or not.

    Args:
        boxes: The annotated boxes, expanded along the hierarchy where there is one.
        labels: The verified image-level labels, expanded too. A detection counts only if its class
            is verified, present or absent, or has a box in its image. None says that the boxes are
            exhaustive: every detection in an annotated image counts.
        predictions: The detections; those in other images are ignored.
        class_ids: The classes to evaluate.
        group_of_weight: As for :class:`OpenImagesRules`.
        iou_threshold: The overlap that makes a match.

    Raises:
        ConfigError: If the weight is negative or not finite.
    """
    rules = OpenImagesRules(group_of_weight, iou_threshold)
    return evaluate_table(rules, boxes, labels, predictions, class_ids)


def _rank_in_image(image: IntArray) -> IntArray:
    return np.arange(len(image)) - np.searchsorted(image, image, side="left")
