"""From class scores and shared boxes to detections, exact at any number of classes.

Shapes: R RoIs of one image, K classes, N candidate (RoI, class) pairs.

Two traps are avoided. Adding ``class * offset`` to float32 coordinates, as torchvision's batched
NMS does, changes its result in the thousands of classes; here the offset is added in float64. And
greedy NMS looks only upwards in score, so the best candidates alone decide the best survivors: they
are taken in descending score until enough survive, instead of all R x K at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms


class Detections(NamedTuple):
    """Boxes ``[n, 4]`` in pixels, scores ``[n]`` descending, and class rows ``[n]`` int64."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor


def select_detections(
    boxes: Tensor, scores: Tensor, *, score_threshold: float, nms_iou: float, limit: int
) -> Detections:
    """Suppress overlapping boxes within each class, and keep the best of all classes.

    Args:
        boxes: ``[R, 4]`` float32 x1, y1, x2, y2, one for all classes; empty ones are dropped.
        scores: ``[R, K]``.
        score_threshold: A candidate's score must exceed it.
        nms_iou: Of two boxes of a class that overlap more than this, the lower scored goes.
        limit: Detections kept.
    """
    solid = ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).unsqueeze(1)
    candidates = torch.where(solid & (scores > score_threshold), scores, -1.0).flatten()
    total = int((candidates >= 0).sum())
    count = min(total, 4 * limit)
    while True:
        best, pairs = candidates.topk(count)
        rois, classes = pairs // scores.shape[1], pairs % scores.shape[1]
        kept = class_aware_nms(boxes[rois], best, classes, nms_iou)[:limit]
        if len(kept) == limit or count == total:
            return Detections(boxes[rois[kept]], best[kept], classes[kept])
        count = min(total, 4 * count)


def best_labels(found: Detections, iou: float) -> Detections:
    """Keep of detections that overlap more than ``iou``, of whatever class, the best scored."""
    kept = class_aware_nms(found.boxes, found.scores, torch.zeros_like(found.classes), iou)
    return Detections(*(part[kept] for part in found))


def class_aware_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou: float) -> Tensor:
    """Return the survivors of NMS within each class, by descending score.

    Each class is moved to a place of its own, in float64: at class 21,841 a coordinate is still
    exact to 1e-8 pixels, where float32 would be off by 2.
    """
    if len(boxes) == 0:
        return classes
    boxes = boxes.double()
    extent = boxes.max() - boxes.min() + 1
    apart = boxes + (classes * extent).unsqueeze(1)
    kept: Tensor = nms(apart, scores.double(), iou)
    return kept
