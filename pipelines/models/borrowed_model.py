"""Use a model in training as a plain detector for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead
from pipelines.models.heads import FixedHead


@contextmanager
def detecting_with(model: GeneralizedRCNN, head: DetectionHead) -> Iterator[None]:
    """Let a model look for the classes of a head, in evaluation mode; then it is as it was.

    Args:
        model: Its box layer is that of the head.
        head: Computed from it.
    """
    heads = model.roi_heads
    training = [module for module in model.modules() if module.training]
    kept = (heads.class_head, heads.detections_per_img, heads.rivals)
    fixed = FixedHead(head.weight, head.bias, head.projection)
    heads.class_head = fixed.to(heads.bbox_pred.weight.device)
    model.eval()
    try:
        yield
    finally:
        heads.class_head, heads.detections_per_img, heads.rivals = kept
        for module in training:
            module.training = True


@contextmanager
def untouched_random_state(device: torch.device) -> Iterator[None]:
    """Leave the random generators that training draws from as they are."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
