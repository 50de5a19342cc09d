"""Tests for pipelines.models.inference: the same detector in half precision."""

from types import SimpleNamespace

import pytest
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import box_iou

from pipelines.artifacts import DetectionHead
from pipelines.config import Precision
from pipelines.data.images import open_images
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import detect
from pipelines.models.postprocess import Detections

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def detector(artifacts: SimpleNamespace) -> GeneralizedRCNN:
    """Return the tiny detector with rows that tell its classes apart."""
    model = load_detector(artifacts.checkpoint, DetectionHead.load(artifacts.head))
    generator = torch.Generator().manual_seed(0)
    model.roi_heads.class_head.weight.copy_(torch.randn(8, 32, generator=generator))
    return model


def found_in(
    model: GeneralizedRCNN, world: SimpleNamespace, precision: Precision
) -> list[Detections]:
    """Return what is found in two images."""
    store = open_images(world.images)
    images = [(name, store.read(name)) for name in ("img0", "img1")]
    return [one.found for one in detect(model, images, CPU, 2, precision=precision)]


@pytest.mark.parametrize(
    ("precision", "least_iou", "score"), [("bfloat16", 0.9, 0.05), ("float16", 0.98, 0.01)]
)
def test_half_precision_finds_the_same(
    detector: GeneralizedRCNN,
    world: SimpleNamespace,
    precision: Precision,
    least_iou: float,
    score: float,
) -> None:
    """Half of the ten best have their like: the same class, nearly the same box and score.

    Rounding may change which of two boxes that overlap stays.
    """
    exact, rounded = (found_in(detector, world, kind) for kind in ("float32", precision))

    for full, half in zip(exact, rounded, strict=True):
        assert half.boxes.dtype == half.scores.dtype == torch.float32
        likes = box_iou(full.boxes, half.boxes) * (full.classes[:, None] == half.classes)
        iou, place = likes[:10].max(dim=1)
        like = iou >= least_iou
        assert like.sum() >= 5
        assert (full.scores[:10] - half.scores[place])[like].abs().max() <= score
        assert not torch.equal(full.scores, half.scores)  # it did compute in another precision


def test_float32_is_the_same_after_half_precision(
    detector: GeneralizedRCNN, world: SimpleNamespace
) -> None:
    """Torchvision's anchors take the type of the features, and would stay rounded."""
    before = found_in(detector, world, "float32")
    found_in(detector, world, "bfloat16")
    after = found_in(detector, world, "float32")

    for first, second in zip(before, after, strict=True):
        assert all(torch.equal(*parts) for parts in zip(first, second, strict=True))


def test_an_image_is_seen_alone(detector: GeneralizedRCNN, world: SimpleNamespace) -> None:
    """Neither the images of its pass nor those before it change what is found in an image."""
    store = open_images(world.images)
    image, low = store.read("img0"), store.read("img1")[:, :33]
    wide = torch.cat([image, image], dim=2)

    (alone,) = detect(detector, [("a", image)], CPU, 1)
    *_, behind = detect(detector, [("low", low), ("wide", wide), ("a", image)], CPU, 3)

    assert behind.image_id == "a"
    for found, expected in zip(behind.found, alone.found, strict=True):
        assert torch.equal(found, expected)


def test_scales_are_not_inferred_from_the_first_image(
    artifacts: SimpleNamespace, world: SimpleNamespace
) -> None:
    """A detector that first sees a low image finds in the next what a fresh one does."""
    head = DetectionHead.load(artifacts.head)
    image = open_images(world.images).read("img0")
    strip = torch.zeros(3, 33, 66, dtype=torch.uint8)
    used, fresh = (load_detector(artifacts.checkpoint, head) for _ in range(2))
    for model in (used, fresh):
        model.transform.max_size = 66

    (_,) = detect(used, [("strip", strip)], CPU, 1)
    (found,) = detect(used, [("a", image)], CPU, 1)
    (expected,) = detect(fresh, [("a", image)], CPU, 1)

    assert torch.equal(found.found.boxes, expected.found.boxes)
    assert used.roi_heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
