"""Torchvision's own Faster R-CNN, without code of ours: its softmax only approximates the scores.

Shapes: M RoIs, K classes, R RoI feature width.

The background's row is zero, so its logit is; the box is the same for all classes. Within a RoI the
order of classes is kept, but every class takes its share from the others, and the more classes
there are, the lower all scores. How much is measured on images.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads

from pipelines.exporters import standalone
from pipelines.exporters.base import Agreement, Deflation, PlainDetector
from pipelines.exporters.description import (
    classes_record,
    config_record,
    write_json,
)
from pipelines.exporters.files import expect_tensors, read_tensors
from pipelines.exporters.requirements import refuse_normalized_features
from pipelines.exporters.rois import pool_rois
from pipelines.exporters.torchvision import WEIGHTS
from pipelines.models.detector_folder import CLASSES, CONFIG
from pipelines.models.state_names import CLASS_LAYER, SHARED_BOX_LAYER, to_torchvision

RANGES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # 0.05 is torchvision's default threshold


def write(source: PlainDetector, folder: Path) -> None:
    """Write a state dict of torchvision's own layout, the config and the classes.

    Raises:
        MismatchError: If stock torchvision cannot express the features.
    """
    refuse_normalized_features(source, "stock torchvision")
    torch.save(_state(source), folder / WEIGHTS)
    record = config_record(source) | {"activation": "softmax"}
    write_json(folder / CONFIG, record)
    write_json(folder / CLASSES, classes_record(source.head, softmax=True))


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Load a stock detector, and compare its scores with a softmax over our logits.

    That, and not the source's sigmoid, is what the export promises; how far the two are apart is
    the deflation.

    Raises:
        RunError: If a tensor is not what was written.
    """
    model, state = _stock(source), read_tensors(folder / WEIGHTS)
    expect_tensors(folder / WEIGHTS, state, _state(source))
    model.load_state_dict(state)
    model.eval()
    with torch.inference_mode():
        compared = [_compare(source, model, image) for image in images]
    sigmoid, softmax, scores, deltas = (torch.cat(part) for part in zip(*compared, strict=True))
    if not len(sigmoid):
        return Agreement("RoIs", 0, 0.0, 0.0)
    table = _deflation(sigmoid, softmax)
    return Agreement("RoIs", len(sigmoid), float(scores.max()), float(deltas.max()), 0, table)


def _state(source: PlainDetector) -> dict[str, Tensor]:
    state = to_torchvision(source.model.state_dict())
    for part in ("weight", "bias"):
        rows, box = state[f"{CLASS_LAYER}{part}"], state[f"{SHARED_BOX_LAYER}{part}"]
        state[f"{CLASS_LAYER}{part}"] = torch.cat([torch.zeros_like(rows[:1]), rows])
        state[f"{SHARED_BOX_LAYER}{part}"] = torch.cat([box] * (len(rows) + 1))
    return state


def _compare(
    source: PlainDetector, model: FasterRCNN, image: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compare the RoIs of an image.

    Returns:
        For each RoI ``[M]``: its highest sigmoid, what the softmax makes of that class, the largest
        difference from a softmax over our logits, and that of a box delta.
    """
    x = source.model.roi_heads.box_head(pool_rois(source.model, image).pooled)
    logits, deltas = source.model.roi_heads.class_head(x), source.model.roi_heads.bbox_pred(x)
    stock_logits, stock_deltas = model.roi_heads.box_predictor(x)
    promised = F.pad(logits, (1, 0)).softmax(dim=1)
    found = stock_logits.softmax(dim=1)
    best, places = logits.sigmoid().max(dim=1)
    tiled = stock_deltas.reshape(len(deltas), -1, 4) - deltas[:, None]
    return (
        best,
        found[:, 1:].gather(1, places[:, None]).squeeze(1),
        (found - promised).abs().amax(dim=1),
        tiled.abs().amax(dim=(1, 2)),
    )


def _deflation(sigmoid: Tensor, softmax: Tensor) -> tuple[Deflation, ...]:
    rows = []
    for least, below in pairwise(RANGES):
        inside = (sigmoid >= least) & ((sigmoid < below) | (below == RANGES[-1]))
        if inside.any():
            means = float(sigmoid[inside].mean()), float(softmax[inside].mean())
            rows.append(Deflation(least, below, int(inside.sum()), *means))
    return tuple(rows)


def _stock(source: PlainDetector) -> FasterRCNN:
    """Return torchvision's detector, as a user without our code builds it."""
    model = standalone.build(config_record(source))
    model.roi_heads.__class__ = RoIHeads
    rows, width = source.head.weight.shape
    model.roi_heads.box_predictor = FastRCNNPredictor(width, rows + 1)
    return model
