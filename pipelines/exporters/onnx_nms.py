"""Suppression within each class by ONNX's own operator, spared what cannot be detected.

Shapes: M RoIs, K classes, n pairs of class and box.

ONNX's NonMaxSuppression goes through all K x M scores class by class, which takes seconds with
thousands of classes. So it first gets only the best of them; if they leave too few survivors, it
gets all.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms

CANDIDATES = 20  # that first meet, as a multiple of the detections wanted


def best_first(boxes: Tensor, scores: Tensor, iou: float, threshold: float, limit: int) -> Tensor:
    """Return pairs ``[n, 2]`` of class and box that survive, best first.

    Args:
        boxes: ``[M, 4]``.
        scores: ``[K, M]``.
        iou: Of two boxes of a class that overlap more, the lower scored goes.
        threshold: A score must exceed it.
        limit: Pairs wanted; so many of each class at most.
    """
    best = scores.where(scores >= _bar(scores, CANDIDATES * limit), 0.0)
    pairs = _suppress(boxes, best, scores, iou, threshold, limit)
    order = scores[pairs[:, 0], pairs[:, 1]].sort(descending=True, stable=True).indices
    ordered: Tensor = pairs[order]
    return ordered


def _bar(scores: Tensor, count: int) -> Tensor:
    """Return a score that at least ``count`` pairs reach, if there are so many.

    The best of each class alone are compared, so it may be lower than it could be.
    """
    of_class = torch.sym_min(math.ceil(2 * count / scores.shape[0]), scores.shape[1])
    best = scores.topk(of_class, dim=1).values.flatten()
    return best.topk(torch.sym_min(count, best.shape[0])).values[-1]


@torch.library.custom_op("wtn::multiclass_nms", mutates_args=())
def _suppress(
    boxes: Tensor, best: Tensor, scores: Tensor, iou: float, threshold: float, limit: int
) -> Tensor:
    """Return the survivors of ``best [K, M]``, or of all ``scores`` where those are too few."""
    survivors = _in_classes(boxes, best, iou, threshold, limit)
    if len(survivors) < limit:
        return _in_classes(boxes, scores, iou, threshold, limit)
    return survivors


def _in_classes(boxes: Tensor, scores: Tensor, iou: float, threshold: float, limit: int) -> Tensor:
    """Return pairs ``[n, 2]``, as ONNX's NonMaxSuppression does: by class, then by score."""
    pairs = []
    for index, of_class in enumerate(scores):
        places = (of_class > threshold).nonzero().squeeze(1)
        kept = places[nms(boxes[places], of_class[places], iou)][:limit]
        pairs.append(torch.stack([torch.full_like(kept, index), kept], dim=1))
    return torch.cat(pairs)


@_suppress.register_fake
def _(
    boxes: Tensor, best: Tensor, scores: Tensor, iou: float, threshold: float, limit: int
) -> Tensor:
    size = torch.library.get_ctx().new_dynamic_size()
    return boxes.new_empty((size, 2), dtype=torch.int64)


def translations() -> dict[Any, Any]:
    """Return what ``torch.onnx.export`` writes for the operators that it does not know."""
    from pipelines.exporters import onnx_operators  # needs onnxscript

    return {
        torch.ops.wtn.multiclass_nms.default: onnx_operators.multiclass_nms,
        torch.ops.aten.sort.stable: onnx_operators.descending_sort,
    }
