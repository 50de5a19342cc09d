"""Detectors with random weights, and what trains them.

Shapes: C classifier classes, D detection classes, S of them seen, d classifier width, R RoI feature
width.
"""

import torch
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.benchmarks.inference_models import normalizing
from pipelines.benchmarks.train_setup import TrainSetup, draw_batch
from pipelines.config import TrainSettings
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import LabelTables


def drawn_detector(setup: TrainSetup, settings: TrainSettings) -> GeneralizedRCNN:
    """Return a detector in training mode, on the device, the same in every process.

    Its normalisation layers are set to the batch, so that gradients are neither 0 nor infinite.
    """
    torch.manual_seed(0)
    head = build_head(settings.head, _draw_rows(setup), settings.detector.roi_width)
    torch.manual_seed(0)  # all methods find the same proposals
    model = build_detector(
        settings.backbone, settings.detector, head, _flat_tables(setup.detected)
    ).to(setup.device)
    image = draw_batch(setup).to(torch.device(setup.device)).pixels[0]
    with torch.no_grad(), normalizing(model.backbone):
        model.backbone(image[None])
    return model.train()


def _draw_rows(setup: TrainSetup) -> ClassRowSource:
    """Return random rows ``[C, d]`` and which of them the D classes have."""
    places = torch.randperm(setup.classes)
    detected = torch.arange(setup.detected)
    return ClassRowSource(
        rows=torch.randn(setup.classes, setup.width),
        seen_rows=places[: setup.seen],
        seen=detected[: setup.seen],
        other=detected[setup.seen :],
    )


def _flat_tables(detected: int) -> LabelTables:
    """Return what labels ask of D classes of which none stands above another."""
    targets = F.pad(torch.eye(detected), (0, 0, 1, 0))  # [D + 1, D]
    return LabelTables(targets, torch.ones_like(targets), torch.ones(detected + 1))
