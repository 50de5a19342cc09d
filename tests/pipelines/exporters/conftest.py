"""Two small detectors: one of training, and one on a backbone that other programs have.

Of the latter the weights are random, and sizes all differ: K = 5 classes, R = 24, 16 channels of
the pyramid, 20 proposals.
"""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torchvision.ops import FrozenBatchNorm2d

from pipelines.artifacts import DetectionHead
from pipelines.config import TrainSettings, validate_settings
from pipelines.data.images import open_images
from pipelines.exporters.base import PlainDetector
from pipelines.models.detection import build_detector
from pipelines.models.heads import FixedHead
from pipelines.models.losses import LabelTables
from pipelines.vocabulary import Vocabulary

K, R = 5, 24


def make_settings(backbone: str, method: str = "ae-wtn") -> TrainSettings:
    """Return the settings of a small detector."""
    return validate_settings(
        {
            "classifier": "classifier.safetensors",
            "data": {"images": "images", "boxes": "boxes.csv"},
            "backbone": {"name": backbone, "fpn_channels": 16},
            "detector": {
                "roi_width": R,
                "min_size": 64,
                "max_size": 96,
                "anchor_sizes": [8, 16, 24, 32, 48],
                "proposals_test": 20,
                "score_threshold": 1e-5,
            },
            "head": {"method": method, "groups": 8},
        }
    )


def make_head() -> DetectionHead:
    """Return a random head."""
    return DetectionHead(
        weight=torch.randn(K, R) / 8,  # scores far from 0 and 1, where they tie
        bias=torch.randn(K),
        box_weight=torch.randn(4, R) / 4,
        box_bias=torch.randn(4),
        vocabulary=Vocabulary(
            tuple(f"/m/{row}" for row in range(K)), ("fox", "café", "dog", "egg", "gun")
        ),
        groups=("seen", "novel", "seen", "other", "novel"),
    )


def make_detector(backbone: str) -> PlainDetector:
    """Return a detector whose every tensor is random, batch-norm statistics too."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        settings, head = make_settings(backbone), make_head()
        tables = LabelTables(*(torch.empty(0) for _ in LabelTables._fields))
        fixed = FixedHead(head.weight, head.bias)
        model = build_detector(settings.backbone, settings.detector, fixed, tables).eval()
        model.roi_heads.bbox_pred.load_state_dict(
            {"weight": head.box_weight, "bias": head.box_bias}
        )
        for module in model.modules():
            if isinstance(module, FrozenBatchNorm2d):
                for buffer in module.buffers():
                    buffer.uniform_(0.5, 1.0)
    return PlainDetector(model, settings.architecture, head, settings.head.method)


@pytest.fixture(scope="session")
def source() -> PlainDetector:
    """Return a detector on a resnet18."""
    return make_detector("resnet18")


@pytest.fixture(scope="session")
def detector_on() -> Callable[[str], PlainDetector]:
    """Return the function that makes a detector on a backbone."""
    return make_detector


@pytest.fixture(scope="session")
def images() -> list[Tensor]:
    """Return two images, ``[3, H, W]`` uint8, of other sizes."""
    random = torch.Generator().manual_seed(1)
    sizes = ((48, 64), (80, 60))
    return [torch.randint(0, 256, (3, *size), generator=random).byte() for size in sizes]


@pytest.fixture
def trained(artifacts: SimpleNamespace) -> PlainDetector:
    """Return the tiny detector with all its classes, the box head made to differ between RoIs."""
    loaded = PlainDetector.load(artifacts.checkpoint, artifacts.head)
    larger = loaded.settings.detector.model_copy(update={"min_size": 96})
    detector = replace(loaded, settings=loaded.settings.model_copy(update={"detector": larger}))
    detector.model.transform.min_size = (96,)
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
