"""Tests for pipelines.models.heads.linear: Faster R-CNN (NN) of Kuen et al., section 5.2.

Three seen classes (detection places 0, 2, 3), one other (place 1), two novel ones.
"""

import pytest
import torch
from torch import Tensor

from pipelines.config import HeadSettings
from pipelines.models.heads import ClassRowSource, LinearHead, build_head

NOVEL = torch.tensor([[2.0, 0.5], [0.0, 4.0]])
SEEN = torch.tensor([[10.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
WEIGHT = torch.tensor([[1.0, 2, 3], [90, 90, 90], [4, 5, 6], [7, 8, 9]])
BIAS = torch.tensor([-1.0, 90, -2, -4])


@pytest.fixture
def head() -> LinearHead:
    """Return a head whose trained rows are known."""
    source = ClassRowSource(
        torch.cat([NOVEL, SEEN]),
        torch.tensor([2, 3, 4]),
        torch.tensor([0, 2, 3]),
        torch.tensor([1]),
    )
    head = build_head(HeadSettings(method="faster-rcnn"), source, roi_width=3)
    assert isinstance(head, LinearHead)
    head.cls_score.weight.data, head.cls_score.bias.data = WEIGHT.clone(), BIAS.clone()
    return head


def test_a_class_borrows_row_and_bias_of_its_nearest_seen_class(head: LinearHead) -> None:
    """Nearest is the highest cosine: the first novel class is the first seen one, place 0."""
    weight, bias = head.class_rows(NOVEL)

    assert torch.equal(weight, WEIGHT[[0, 2]])
    assert torch.equal(bias, BIAS[[0, 2]])


@pytest.mark.parametrize(
    ("shares", "weight", "bias"),
    [
        ([0.5, 0.0, 0.5], [4.0, 5.0, 6.0], -2.5),
        ([0.0, 0.25, 0.75], [6.25, 7.25, 8.25], -3.5),
    ],
)
def test_shares_mix_the_rows_of_seen_classes(
    head: LinearHead, shares: list[float], weight: list[float], bias: float
) -> None:
    """A row is the sum of what it borrows; the class without a classifier row lends nothing."""
    found = head.class_rows(NOVEL[:1], torch.tensor([shares]))

    torch.testing.assert_close(found.weight, torch.tensor([weight]))
    torch.testing.assert_close(found.bias, torch.tensor([bias]))


def test_detection_rows_are_the_trained_ones(head: LinearHead) -> None:
    """Classes with boxes keep what they learned, in detection order."""
    rows: tuple[Tensor, Tensor] = head.detection_rows()

    assert torch.equal(rows[0], WEIGHT)
    assert torch.equal(rows[1], BIAS)
