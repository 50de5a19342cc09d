"""Run a form's box head on the RoIs of real images, and compare it with that of the source.

Shapes: M RoIs of an image, K classes.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.models.roi_heads import MAX_LOG_SCALE


class PooledRoIs(NamedTuple):
    """The RoIs of an image, and what the source makes of them.

    Args:
        pooled: ``[M, channels, side, side]`` from the feature pyramid.
        proposals: ``[M, 4]`` in pixels of the resized image.
        size: Height and width of the resized image.
        scores: ``[M, K]`` by the source.
        boxes: ``[M, 4]`` by the source.
    """

    pooled: Tensor
    proposals: Tensor
    size: tuple[int, int]
    scores: Tensor
    boxes: Tensor


BoxHead = Callable[[PooledRoIs], tuple[Tensor, Tensor]]
"""Reads ``pooled``, ``proposals`` and ``size``, and returns scores ``[M, K]``, boxes ``[M, 4]``."""


@torch.inference_mode()
def compare_rois(source: PlainDetector, images: Sequence[Tensor], box_head: BoxHead) -> Agreement:
    """Return how far a box head is from that of the source.

    Args:
        source: The detector.
        images: uint8 RGB ``[3, H, W]``.
        box_head: Of the form that is checked.
    """
    count, farthest = 0, torch.zeros(2)  # scores, boxes
    for image in images:
        rois = pool_rois(source.model, image)
        scores, boxes = box_head(rois)
        count += len(boxes)
        distances = torch.stack([_distance(scores, rois.scores), _distance(boxes, rois.boxes)])
        farthest = farthest.maximum(distances)
    return Agreement("RoIs", count, scores=float(farthest[0]), boxes=float(farthest[1]))


def pool_rois(model: GeneralizedRCNN, image: Tensor) -> PooledRoIs:
    """Return the RoIs that a detector proposes in an image ``[3, H, W]`` uint8."""
    batch, _ = model.transform([image.float() / 255])
    features = model.backbone(batch.tensors)
    proposals, _ = model.rpn(batch, features)
    heads = model.roi_heads
    pooled = heads.box_roi_pool(features, proposals, batch.image_sizes)
    rois = heads.roi_features(features, proposals, batch.image_sizes)
    scores = heads.class_head(rois.x).sigmoid()
    return PooledRoIs(pooled, proposals[0], batch.image_sizes[0], scores, rois.boxes)


def linear(state: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    """Apply the layer ``name`` of a state dict to ``x``."""
    return F.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])


def refine_boxes(
    deltas: Tensor, rois: PooledRoIs, weights: Sequence[float], min_log_scale: float = -math.inf
) -> Tensor:
    """Return the proposals moved by ``deltas [M, 4]`` and clipped to the image, ``[M, 4]``.

    Args:
        deltas: x, y, log width, log height, each times its weight.
        rois: Proposals and size of the image.
        weights: Four.
        min_log_scale: Sides shrink no further than by exp of it.
    """
    dx, dy, dw, dh = (deltas / deltas.new_tensor(weights)).unbind(dim=1)
    x1, y1, x2, y2 = rois.proposals.unbind(dim=1)
    width, height = x2 - x1, y2 - y1
    center_x, center_y = x1 + width / 2 + dx * width, y1 + height / 2 + dy * height
    half_width = width * dw.clamp(min_log_scale, MAX_LOG_SCALE).exp() / 2
    half_height = height * dh.clamp(min_log_scale, MAX_LOG_SCALE).exp() / 2
    bottom, right = rois.size
    return torch.stack(
        [
            (center_x - half_width).clamp(0, right),
            (center_y - half_height).clamp(0, bottom),
            (center_x + half_width).clamp(0, right),
            (center_y + half_height).clamp(0, bottom),
        ],
        dim=1,
    )


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    return (found - wanted).abs().max() if wanted.numel() else wanted.new_zeros(())
