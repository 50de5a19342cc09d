"""Tests for pipelines.models.heads.zsd, on values computed by hand.

Two channels everywhere: the projection swaps them, so x = (3, 4) becomes (0.8, 0.6).
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pipelines.config import HeadSettings
from pipelines.models.heads import ClassRowSource, ClassWeightHead, ZSDHead, build_head

ROWS = torch.tensor([[0.0, 7.0], [2.0, 0.0], [-5.0, 0.0]])  # novel, then two seen
X = torch.tensor([[3.0, 4.0]])
BIAS = -4.59512

LossesOf = Callable[[ClassWeightHead, Tensor], dict[str, Tensor]]


def make(**options: object) -> ZSDHead:
    """Return a head whose seen classes have places 0 and 2, and an other class place 1."""
    torch.manual_seed(0)
    source = ClassRowSource(ROWS, torch.tensor([1, 2]), torch.tensor([0, 2]), torch.tensor([1]))
    settings = HeadSettings.model_validate({"method": "zsd", "zsd": options})
    head = build_head(settings, source, roi_width=2)
    assert isinstance(head, ZSDHead)
    head.project.weight.data = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    head.other_rows.data = torch.tensor([[0.0, -3.0]])
    return head


def test_the_angle_scores_whatever_the_lengths() -> None:
    """Logits are 10 cos + b: cosines 0.8, -0.6 (the other class) and -0.8; novel 0.6."""
    head = make()
    expected = torch.tensor([[8.0, -6.0, -8.0]]) + BIAS

    for x in (X, X * 100):
        torch.testing.assert_close(head(x), expected, rtol=0, atol=1e-4)
    weight, bias = head.class_rows(ROWS[:1])
    torch.testing.assert_close(weight, torch.tensor([[0.0, 10.0]]))
    torch.testing.assert_close(bias, torch.tensor([BIAS]), rtol=0, atol=1e-4)


def test_margin_scores_against_background() -> None:
    """Background is (1, 0), at cosine 0.8: logits are 5 (cos - 0.8), and 0.5 is its own score."""
    head = make(mode="margin", scale=5.0)

    torch.testing.assert_close(head(X), torch.tensor([[0.0, -7.0, -8.0]]))
    weight, bias = head.class_rows(ROWS[:1])
    torch.testing.assert_close(weight, torch.tensor([[-5.0, 5.0]]))
    assert not bias.any()


@pytest.mark.parametrize(("mode", "learned"), [("sigmoid", True), ("margin", False)])
def test_scale_and_bias_are_learned_by_the_sigmoid_only(mode: str, learned: bool) -> None:
    """The max-margin loss knows neither; projection and other rows are learned by both."""
    trained = {name for name, p in make(mode=mode).named_parameters() if p.requires_grad}

    assert trained == {"project.weight", "other_rows"} | (
        {"log_scale", "common_bias"} if learned else set()
    )


def test_other_rows_start_at_length_one() -> None:
    """So they turn as fast as the projection lets seen classes turn."""
    rows = torch.randn(4, 8)
    source = ClassRowSource(rows, torch.arange(1), torch.arange(1), torch.arange(1, 4))
    head = build_head(HeadSettings(method="zsd"), source, 5)

    lengths = head.get_parameter("other_rows").norm(dim=1)

    torch.testing.assert_close(lengths, torch.ones(3))


@pytest.mark.parametrize("mode", ["sigmoid", "margin"])
def test_every_learned_parameter_gets_a_finite_gradient(losses_of: LossesOf, mode: str) -> None:
    """Also where a RoI has no feature at all, whose direction is not defined."""
    head = make(mode=mode)
    x = torch.tensor([[3.0, 4.0], [1.0, 0.0], [0.0, 0.0], [2.0, 1.0]])

    losses = losses_of(head, x)
    sum(losses.values()).backward()

    assert losses.keys() == {"loss_classifier"}
    for name, parameter in head.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
