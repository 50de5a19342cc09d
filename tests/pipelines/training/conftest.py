"""A small detector with a batch to train it on: 64 x 64 pixels, D = 3, C = 7, d = 6, R = 32."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings, validate_settings
from pipelines.data.batches import Target
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import label_tables
from pipelines.vocabulary import ClassHierarchy, Vocabulary

IDS = ("a", "b", "c")
TREE: dict[str, Any] = {
    "classifier": "classifier.safetensors",
    "data": {"boxes": "boxes.csv"},
    "backbone": {"name": "tiny", "fpn_channels": 8, "trainable_stages": 5},
    "detector": {
        "roi_width": 32,
        "min_size": 64,
        "anchor_sizes": [8, 16, 24, 32, 48],
        "proposals_train": 40,
        "rois_per_image": 16,
    },
    "schedule": {"batch_size": 4, "warmup_iterations": 0},
}


def resolve(method: str = "ae-wtn", **changes: dict[str, Any]) -> TrainSettings:
    """Return settings; ``changes`` are sections by name, each with what it changes."""
    tree = {name: dict(section) if isinstance(section, dict) else section
            for name, section in TREE.items()}  # fmt: skip
    tree["head"] = {"method": method, "groups": 8} if "wtn" in method else {"method": method}
    for name, values in changes.items():
        tree[name] = {**tree.get(name, {}), **values}
    return validate_settings(tree)


def small_detector(settings: TrainSettings, known: int = 2) -> GeneralizedRCNN:
    """Return the detector of some settings, always the same, in training mode.

    Args:
        settings: Of the training.
        known: How many of the D classes the classifier knows.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        source = ClassRowSource(
            torch.randn(7, 6), torch.arange(known), torch.arange(known), torch.arange(known, 3)
        )
        head = build_head(settings.head, source, settings.detector.roi_width)
        tables = label_tables(Vocabulary(IDS, IDS), ClassHierarchy.flat())
        return build_detector(settings.backbone, settings.detector, head, tables).train()


def draw_batch(iteration: int) -> tuple[list[Tensor], list[Target]]:
    """Return the four images of an iteration, with one to three boxes each."""
    generator = torch.Generator().manual_seed(iteration)
    images = list(torch.rand(4, 3, 64, 64, generator=generator))
    corners = 40 * torch.rand(4, 3, 2, generator=generator)
    sides = 8 + 14 * torch.rand(4, 3, 2, generator=generator)
    labels = torch.randint(1, 4, (4, 3), generator=generator)
    counts = torch.randint(1, 4, (4,), generator=generator).tolist()
    boxes = torch.cat([corners, corners + sides], dim=2)
    return images, [
        {"boxes": boxes[place, :count], "labels": labels[place, :count]}
        for place, count in enumerate(counts)
    ]


@pytest.fixture
def settle() -> Callable[..., TrainSettings]:
    """Return :func:`resolve`."""
    return resolve


@pytest.fixture
def build() -> Callable[[TrainSettings], GeneralizedRCNN]:
    """Return :func:`small_detector`."""
    return small_detector


@pytest.fixture
def batch() -> Callable[[int], tuple[list[Tensor], list[Target]]]:
    """Return :func:`draw_batch`."""
    return draw_batch
