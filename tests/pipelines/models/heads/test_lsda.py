"""Tests for pipelines.models.heads.lsda: v_j = s w_j + sum_i a_ji delta_i.

Three seen classes (detection places 0, 2, 3), one other (place 1), two novel ones; all rows have
two channels, as have the RoI features.
"""

import math

import pytest
import torch
from torch import Tensor

from pipelines.config import HeadSettings
from pipelines.models.heads import ClassRowSource, LSDAHead, build_head

NOVEL = torch.tensor([[2.0, 0.5], [0.0, 4.0]])
SEEN = torch.tensor([[10.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
DELTA = torch.tensor([[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]])
DELTA_BIAS = torch.tensor([1.0, 2.0, 4.0])
COMMON = -4.0
MEAN, SPREAD = torch.tensor([3.0, 1.7]), torch.tensor([17.0, 11.8 / 4]).sqrt()  # of all five rows


def make(**options: object) -> LSDAHead:
    """Return a head whose changes are known."""
    source = ClassRowSource(
        torch.cat([NOVEL, SEEN]),
        torch.tensor([2, 3, 4]),
        torch.tensor([0, 2, 3]),
        torch.tensor([1]),
    )
    settings = HeadSettings.model_validate({"method": "lsda", "lsda": options})
    head = build_head(settings, source, roi_width=2)
    assert isinstance(head, LSDAHead)
    head.delta.data, head.delta_bias.data = DELTA.clone(), DELTA_BIAS.clone()
    head.common_bias.data = torch.tensor([COMMON])
    return head


HALVES = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])  # k = 2


def test_a_novel_row_adds_the_mean_change_of_two_neighbours() -> None:
    """With k = 2 the novel rows are w + (delta_1 + delta_3) / 2 and w + (delta_2 + delta_3) / 2."""
    weight, bias = make().class_rows(NOVEL, HALVES)

    torch.testing.assert_close(weight, torch.tensor([[52.5, 101.5], [55.0, 114.0]]))
    torch.testing.assert_close(bias, torch.tensor([-1.5, -1.0]))


@pytest.mark.parametrize(
    ("rows", "own"),
    [
        ("raw", NOVEL),
        ("standardized", (NOVEL - MEAN) / SPREAD),
        ("normalized", torch.tensor([[2.0, 0.5], [0.0, math.hypot(2, 0.5)]]) / math.hypot(2, 0.5)),
    ],
)
def test_the_own_part_is_scaled_in_its_space(rows: str, own: Tensor) -> None:
    """Scale and space act on the classifier's row, not on the borrowed change."""
    weight, _ = make(scale=0.5, rows=rows).class_rows(NOVEL, HALVES)

    torch.testing.assert_close(weight, 0.5 * own + HALVES @ DELTA)


def test_a_seen_row_is_the_classifier_row_and_its_change() -> None:
    """Seen classes stand at their detection places; the other class has a row of its own."""
    head = make(scale=2.0)
    assert head.other_score is not None

    weight, bias = head.detection_rows()

    expected = torch.tensor([[21.0, 2.0], [10.0, 22.0], [106.0, 206.0]])
    torch.testing.assert_close(weight[[0, 2, 3]], expected)
    torch.testing.assert_close(bias[[0, 2, 3]], torch.tensor([-3.0, -2.0, 0.0]))
    assert torch.equal(weight[1], head.other_score.weight[0])


def test_fewer_seen_classes_than_neighbours_all_lend() -> None:
    """The default of ten takes all three, a third each."""
    weight, bias = make().class_rows(NOVEL)

    torch.testing.assert_close(weight, NOVEL + torch.tensor([37.0, 74.0]))
    torch.testing.assert_close(bias, torch.full((2,), COMMON + 7 / 3))


def test_it_starts_as_the_classifier() -> None:
    """Before training there is no change: every row is the classifier's, the bias is the prior."""
    source = ClassRowSource(
        SEEN, torch.arange(3), torch.arange(3), torch.empty(0, dtype=torch.int64)
    )
    head = build_head(HeadSettings(method="lsda"), source, roi_width=2)

    weight, bias = head.class_rows(NOVEL)

    assert torch.equal(weight, NOVEL)
    torch.testing.assert_close(bias, torch.full((2,), -4.59512))
