"""Tests for pipelines.models.rpn: the losses of the proposals, image by image."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.config import BackboneSettings, DetectorSettings
from pipelines.models.detection import build_detector
from pipelines.models.heads import FixedHead
from pipelines.models.losses import label_tables
from pipelines.models.rpn import PerImageRPN
from pipelines.vocabulary import ClassHierarchy, Vocabulary


@pytest.fixture
def rpn() -> PerImageRPN:
    """Return the RPN of a small detector, which draws all anchors that are not ignored."""
    tables = label_tables(Vocabulary(("a",), ("a",)), ClassHierarchy.flat())
    head = FixedHead(torch.zeros(1, 2048), torch.zeros(1))
    backbone = BackboneSettings(name="tiny", fpn_channels=8)
    found: PerImageRPN = build_detector(backbone, DetectorSettings(), head, tables).rpn
    return found


Drawn = tuple[Tensor, Tensor, list[Tensor], list[Tensor]]


@pytest.fixture
def drawn() -> Drawn:
    """Return two images of four anchors: logits, deltas, labels and targets."""
    generator = torch.Generator().manual_seed(0)
    labels = [torch.tensor([1.0, 0, 0, -1]), torch.tensor([0.0, -1, -1, -1])]
    logits, deltas = (torch.randn(8, width, generator=generator) for width in (1, 4))
    return logits, deltas, labels, list(torch.randn(2, 4, 4, generator=generator))


def test_a_batch_has_the_mean_of_its_images_losses(rpn: PerImageRPN, drawn: Drawn) -> None:
    """Also where one image has three anchors that count, and the other one."""
    logits, deltas, labels, targets = drawn

    whole = rpn.compute_loss(logits, deltas, labels, targets)
    parts = [
        rpn.compute_loss(logits[rows], deltas[rows], [labels[place]], [targets[place]])
        for place, rows in enumerate([slice(4), slice(4, 8)])
    ]

    for loss, of_parts in zip(whole, zip(*parts, strict=True), strict=True):
        assert loss.item() == pytest.approx(sum(part.item() for part in of_parts) / 2)


def test_one_image_has_torchvisions_losses(rpn: PerImageRPN, drawn: Drawn) -> None:
    """Means over the anchors that count; boxes of objects alone, with beta 1/9."""
    logits, deltas, labels, targets = drawn

    objectness, boxes = rpn.compute_loss(logits[:4], deltas[:4], labels[:1], targets[:1])

    expected = F.binary_cross_entropy_with_logits(logits[:3, 0], labels[0][:3])
    box = F.smooth_l1_loss(deltas[0], targets[0][0], beta=1 / 9, reduction="sum") / 3
    assert objectness.item() == pytest.approx(expected.item())
    assert boxes.item() == pytest.approx(box.item())
