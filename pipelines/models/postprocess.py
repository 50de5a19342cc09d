"""From class logits and shared boxes to detections, exact at any number of classes.

Shapes: R RoIs of one image, K classes, n candidate (class, RoI) pairs.

Three traps are avoided. Adding ``class * offset`` to float32 coordinates, as torchvision's batched
NMS does, changes its result in the thousands of classes; here the offset is added in float64. The
scores of all pairs are never held: a head is asked for the logits of one block of classes after
another, see :mod:`pipelines.models.candidates`. And greedy NMS looks only upwards in score, so the
best candidates alone decide the best survivors: they are taken in descending order until enough
survive, instead of all R x K at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.ops import nms

from pipelines.models.candidates import (
    Candidates,
    LogitsOf,
    best_candidates,
    logit_floor,
    scores_of,
)

_STEP = 4  # candidates that meet in one NMS, as a multiple of the detections kept
_POOL = 16  # candidates that are collected at first, likewise


class Detections(NamedTuple):
    """Boxes ``[n, 4]`` in pixels, scores ``[n]`` descending, and class rows ``[n]`` int64."""

    boxes: Tensor
    scores: Tensor
    classes: Tensor


class Selection(NamedTuple):
    """Which candidates become detections.

    Args:
        score_threshold: A candidate's score must exceed it: one number, or one for each class
            ``[K]``.
        nms_iou: Of two boxes of a class that overlap more than this, the lower scored goes.
        limit: Detections kept.
    """

    score_threshold: float | Tensor
    nms_iou: float
    limit: int


def select_detections(boxes: Tensor, logits: Tensor, chosen: Selection) -> Detections:
    """Return the detections of a whole matrix of logits, see :func:`detect_in_blocks`.

    Args:
        boxes: ``[R, 4]`` float32 x1, y1, x2, y2, one for all classes; empty ones are dropped.
        logits: ``[R, K]``.
        chosen: Which of them to keep.
    """
    solid = solid_rows(boxes)
    logits = logits if len(solid) == len(boxes) else logits[solid]
    return detect_in_blocks(boxes[solid], lambda rows: logits[:, rows].t(), logits.shape[1], chosen)


def detect_in_blocks(
    boxes: Tensor, logits_of: LogitsOf, num_classes: int, chosen: Selection
) -> Detections:
    """Suppress overlapping boxes within each class, and keep the best of all classes.

    Args:
        boxes: ``[R, 4]`` float32 x1, y1, x2, y2, one for all classes, none of them empty.
        logits_of: Scores a range of the classes for these boxes.
        num_classes: K.
        chosen: Which candidates to keep.
    """
    thresholds = torch.as_tensor(chosen.score_threshold, dtype=torch.float32, device=boxes.device)
    floor, pool = logit_floor(thresholds), _POOL * chosen.limit
    while True:
        found, complete = best_candidates(logits_of, num_classes, floor, pool)
        kept = _survivors(found, boxes, thresholds, chosen)
        if complete or len(kept.scores) == chosen.limit:
            return kept
        pool *= _STEP


def solid_rows(boxes: Tensor) -> Tensor:
    """Return the rows ``[n]`` of the boxes that have an area."""
    return ((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])).nonzero().squeeze(1)


def best_labels(found: Detections, iou: float) -> Detections:
    """Keep of detections that overlap more than ``iou``, of whatever class, the best scored."""
    kept = class_aware_nms(found.boxes, found.scores, torch.zeros_like(found.classes), iou)
    return Detections(*(part[kept] for part in found))


def class_aware_nms(boxes: Tensor, scores: Tensor, classes: Tensor, iou: float) -> Tensor:
    """Return the survivors of NMS within each class, by descending score, equal ones in order.

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


def _survivors(
    found: Candidates, boxes: Tensor, thresholds: Tensor, chosen: Selection
) -> Detections:
    """Return the best survivors of NMS among candidates that are sorted.

    They meet in steps, each with those that survived the steps before, which survive again.
    """
    kept = found.at(slice(0, 0))
    for start in range(0, len(found.logits), _STEP * chosen.limit):
        step = found.at(slice(start, start + _STEP * chosen.limit))
        kept = _suppressed(kept.and_then(step), boxes, thresholds, chosen.nms_iou)
        if len(kept.logits) >= chosen.limit:
            break
    best = kept.at(slice(0, chosen.limit))
    return Detections(
        boxes[best.pairs % len(boxes)], scores_of(best.logits), best.pairs // len(boxes)
    )


def _suppressed(found: Candidates, boxes: Tensor, thresholds: Tensor, iou: float) -> Candidates:
    """Return the survivors of NMS whose scores exceed their class's threshold.

    Those that do not are the lowest of their class, so they suppress none that does.
    """
    rois, classes = found.pairs % len(boxes), found.pairs // len(boxes)
    survived = found.at(class_aware_nms(boxes[rois], found.logits, classes, iou))
    wanted = thresholds if thresholds.dim() == 0 else thresholds[survived.pairs // len(boxes)]
    return survived.at(scores_of(survived.logits) > wanted)
