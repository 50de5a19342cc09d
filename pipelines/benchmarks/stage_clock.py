"""How long each stage of a detector takes."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

STAGES = ("resize", "backbone", "rpn", "head", "postprocess")


def synchronize(device: str) -> None:
    """Wait until a GPU is done; a CPU is."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def seconds_of(call: Callable[[], object], device: str) -> float:
    """Return the wall clock of a call."""
    synchronize(device)
    started = time.perf_counter()
    call()
    synchronize(device)
    return time.perf_counter() - started


@contextmanager
def stage_clock(model: GeneralizedRCNN, device: str) -> Iterator[dict[str, float]]:
    """Yield what becomes the seconds of each stage of the one pass in the block.

    The stage ``head`` pools the RoIs, makes their features, and predicts from them; scoring classes
    in blocks belongs to ``postprocess``, with the selection that it is part of.
    """
    marks: dict[str, float] = {}

    def mark(stage: str, *_: object) -> None:
        synchronize(device)
        marks[stage] = time.perf_counter()

    heads = model.roi_heads
    last: nn.Module = heads.box_predictor or heads.bbox_pred
    ends = (model.backbone, model.rpn, last, model)
    hooks = [model.register_forward_pre_hook(partial(mark, "")),
             model.backbone.register_forward_pre_hook(partial(mark, "resize"))]  # fmt: skip
    hooks += [
        module.register_forward_hook(partial(mark, stage))
        for module, stage in zip(ends, STAGES[1:], strict=True)
    ]
    seconds: dict[str, float] = {}
    try:
        yield seconds
    finally:
        for hook in hooks:
            hook.remove()
    before = marks[""]
    for stage in STAGES:
        seconds[stage], before = marks[stage] - before, marks[stage]
