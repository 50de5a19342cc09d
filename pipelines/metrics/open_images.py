"""``oid``: average precision as the Open Images challenge defines it.

Shapes: n detections, m ground-truth boxes, p pairs.

Follows ``per_image_evaluation.py`` and ``OpenImagesChallengeEvaluator`` of the TensorFlow Object
Detection API, down to the order in which equal scores are taken.
"""

import math
from collections.abc import Sequence

import numpy as np

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.box_policy import has_area
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.detection_metrics import DetectionMetrics, Judgement, summarise
from pipelines.metrics.joining import Detections, Evaluation, GroundTruth, by_class
from pipelines.metrics.matching import BoxGeometry, Pairs, first_of_each

_GEOMETRY = BoxGeometry(border=0)
_MAX_DETECTIONS = 10_000  # of one class in one image


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
        group_of_weight: What finding a group is worth, and missing it costs: 1 in the challenge of
            2018; with 0 groups are neither found nor missed.
        iou_threshold: The overlap that makes a match.

    Raises:
        ConfigError: If the weight is negative or not finite.
    """
    if not 0 <= group_of_weight < math.inf:
        raise ConfigError(f"the weight of a group must be 0 or more, found {group_of_weight}")
    image_ids = sorted({*boxes.image_ids, *(labels.image_ids if labels is not None else ())})
    evaluation = Evaluation(image_ids, class_ids)
    truth, found = evaluation.ground_truth(boxes), evaluation.detections(predictions)
    if labels is not None:
        found = evaluation.verified(found, truth, labels, np.ones(len(labels), np.bool_))
    found = found.select(has_area(found.boxes))
    classes = by_class(truth, found, len(class_ids))
    judgements = (_judge(*rows, group_of_weight, iou_threshold) for rows in classes)
    return summarise(
        "oid", dict(zip(class_ids, judgements, strict=True)), recall_without_detections=0.0
    )


def _judge(
    truth: GroundTruth, found: Detections, group_of_weight: float, iou_threshold: float
) -> Judgement:
    """Judge the detections of one class.

    A detection that finds no object but lies in a group is taken out, and the best of those in a
    group stand for it as one entry.
    """
    found = found.select(_rank_in_image(found.image) < _MAX_DETECTIONS)
    pairs = Pairs.of(truth, found)
    is_true = first_of_each(pairs.of_groups(False).best(_GEOMETRY.iou, iou_threshold))
    group = pairs.of_groups(True).best(_GEOMETRY.intersection_over_area, iou_threshold)
    in_group = (group >= 0) & ~is_true
    group_score = np.zeros(len(truth.image))
    np.maximum.at(group_score, group[in_group], found.score[in_group])
    credited = np.flatnonzero((group_score > 0) & (group_of_weight > 0))

    image = np.append(found.image[~in_group], truth.image[credited])
    score = np.append(found.score[~in_group], group_score[credited])
    credit = np.append(is_true[~in_group], np.full(len(credited), group_of_weight))
    by_image = np.argsort(image, kind="stable")  # in each image the groups come last
    num_groups = int(truth.group_of.sum())
    num_ground_truth = len(truth.image) - num_groups + group_of_weight * num_groups
    return Judgement(score[by_image], credit[by_image], num_ground_truth)


def _rank_in_image(image: IntArray) -> IntArray:
    return np.arange(len(image)) - np.searchsorted(image, image, side="left")
