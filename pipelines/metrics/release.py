"""``aewtn-release``: average precision and recall as the evaluator of the AE-WTN release has them.

Shapes: n detections, m ground-truth boxes, p pairs.

Follows ``evaluation/openimages/openimages_eval.py`` of the official release (xternalz/AE-WTN), with
its peculiarities, so that figures can be compared with the paper's:

* an image without any detection is left out, with its ground truth;
* a box is taken to be two pixels wider and higher than it is: one is added to its far corner, and
  one again where sizes are computed;
* a group is first matched like any box; who finds it second is wrong, not ignored;
* only absent classes, and those with a box, count as verified;
* a class without any detection is left out of the mean recall.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.image_sizes import ImageSizes
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.metrics.detection_metrics import DetectionMetrics, Judgement, summarise
from pipelines.metrics.joining import Detections, Evaluation, Floats, GroundTruth, by_class
from pipelines.metrics.matching import BoxGeometry, Pairs, first_of_each

_GEOMETRY = BoxGeometry(border=1)  # on top of the one that _far_pixel adds
_GROUP_THRESHOLD = 0.5  # the share of a detection that lies in a group


def release_metric(
    boxes: BoxTable,
    labels: ImageLabelTable | None,
    predictions: PredictionTable,
    class_ids: Sequence[str],
    *,
    image_sizes: ImageSizes,
    iou_threshold: float = 0.5,
) -> DetectionMetrics:
    """Score predictions on the images that have at least one of them.

    Args:
        boxes: The annotated boxes, expanded along the hierarchy where there is one.
        labels: The verified image-level labels, expanded too; None counts every detection in an
            image that has boxes.
        predictions: The detections; those in other images are ignored.
        class_ids: The classes to evaluate.
        image_sizes: The sizes of the evaluated images.
        iou_threshold: The overlap that makes a match.

    Raises:
        MismatchError: If the size of an evaluated image is not known.
    """
    evaluation = Evaluation(_image_ids(boxes, labels), class_ids)
    truth, found = evaluation.ground_truth(boxes), evaluation.detections(predictions)
    truth = truth.select(np.isin(truth.image, found.image))
    if labels is not None:
        found = evaluation.verified(found, truth, labels, ~labels.positive)
    sizes = image_sizes.of(evaluation.image_ids)
    truth = replace(truth, boxes=_far_pixel(truth.boxes, sizes[truth.image]))
    found = replace(
        found,
        boxes=_far_pixel(found.boxes, sizes[found.image]),
        score=found.score.astype(np.float32),
    )
    classes = by_class(truth, found, len(class_ids))
    judgements = (_judge(*rows, iou_threshold) for rows in classes)
    return summarise(
        "aewtn-release",
        dict(zip(class_ids, judgements, strict=True)),
        recall_without_detections=float("nan"),
    )


def _image_ids(boxes: BoxTable, labels: ImageLabelTable | None) -> list[str]:
    """Return the images in the release's order: sorted, or as they come in the file of boxes."""
    with_boxes, first_row = np.unique(boxes.image, return_index=True)
    if labels is None:
        return [boxes.image_ids[image] for image in with_boxes[np.argsort(first_row)].tolist()]
    with_absent = np.unique(labels.image[~labels.positive])
    return sorted(
        {boxes.image_ids[image] for image in with_boxes.tolist()}
        | {labels.image_ids[image] for image in with_absent.tolist()}
    )


def _far_pixel(boxes: Floats, sizes: IntArray) -> NDArray[np.float32]:
    """Return boxes ``[n, 4]`` in pixels of images of ``sizes`` (height, width), far corner + 1."""
    pixels = (boxes * sizes[:, [1, 0, 1, 0]]).astype(np.float32)
    pixels[:, 2:] += 1
    return pixels


def _judge(truth: GroundTruth, found: Detections, iou_threshold: float) -> Judgement:
    """Judge the detections of one class: only the first that matches a box or a group is right."""
    pairs = Pairs.of(truth, found)
    match = pairs.best(_GEOMETRY.iou, iou_threshold)
    group = pairs.of_groups(True).best(_GEOMETRY.intersection_over_area, _GROUP_THRESHOLD)
    is_true = first_of_each(np.where(match >= 0, match, group))
    return Judgement(found.score, is_true.astype(np.float64), len(truth.image))
