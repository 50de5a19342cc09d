"""A tiny detector that finds something, and images that it finds it in."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from pipelines.data.images import open_images
from pipelines.exporters.base import PlainDetector


@pytest.fixture
def source(artifacts: SimpleNamespace) -> PlainDetector:
    """Return the tiny detector with all its classes, the box head made to differ between RoIs."""
    detector = PlainDetector.load(artifacts.checkpoint, artifacts.head)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        heads = detector.model.roi_heads
        heads.class_head.weight.normal_(std=0.5)
        heads.class_head.bias.fill_(-1.0)
        torch.nn.init.normal_(heads.bbox_pred.weight, std=0.2)
    detector.head.weight.copy_(heads.class_head.weight)
    detector.head.bias.copy_(heads.class_head.bias)
    return detector


@pytest.fixture
def pictures(world: SimpleNamespace) -> list[Tensor]:
    """Return two pictures of the tiny world, one of them cut so that its sides are no multiple."""
    store = open_images(world.images)
    first, second = (store.read(image_id) for image_id in list(store.ids)[:2])
    return [first, second[:, :50, :61].contiguous()]
