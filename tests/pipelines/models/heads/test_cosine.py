"""Tests for pipelines.models.heads.cosine, with rows of length 5, 2 and 2 (d = R = 4)."""

import math

import pytest
import torch
from torch.nn import functional as F

from pipelines.config import HeadSettings
from pipelines.models.heads import ClassRowSource, CosineHead

ROWS = torch.tensor([[3.0, 4, 0, 0], [0, 0, 0, 2], [1, 1, 1, 1]])
UNIT_ROWS = torch.tensor([[0.6, 0.8, 0, 0], [0, 0, 0, 1], [0.5, 0.5, 0.5, 0.5]])


def make(*, zero_gamma: bool = True) -> CosineHead:
    """Return a head whose classes 2 and 0 are seen, in this order."""
    torch.manual_seed(0)
    none = torch.empty(0, dtype=torch.int64)
    source = ClassRowSource(ROWS, torch.tensor([2, 0]), torch.tensor([0, 1]), none)
    settings = HeadSettings(method="ae-wtn-cosine", groups=2, zero_gamma=zero_gamma)
    return CosineHead(source, 4, settings)


def test_training_starts_from_ten_cosines() -> None:
    """Before the first step a logit is ten times a cosine and the prior, for features of 2."""
    head = make()
    x = 2 * F.normalize(torch.tensor([[1.0, 0, 0, 0], [0, 0, 1, 1]]), dim=1)

    weight, bias = head.class_rows(ROWS)

    torch.testing.assert_close(weight, 5 * UNIT_ROWS)
    cosines = torch.tensor([[0.6, 0, 0.5], [0, math.sqrt(0.5), math.sqrt(0.5)]])
    torch.testing.assert_close(x @ weight.T, 10 * cosines)
    torch.testing.assert_close(head(x), 10 * cosines[:, [2, 0]] - math.log(99))
    torch.testing.assert_close(bias, torch.full((3,), -math.log(99)))


def test_the_transfer_is_a_change_of_the_direction() -> None:
    """Rows are the scaled sum of the unit row, its linear map, and what the network transfers."""
    head = make(zero_gamma=False)
    with torch.no_grad():
        head.log_scale.fill_(math.log(3))
        head.linear.weight.copy_(torch.diag(torch.tensor([1.0, 0, 0, 0.5])))

    transferred = head.transfer["encoder"](head.standardize(ROWS))

    assert transferred.abs().min() > 0
    mapped = torch.tensor([[1.2, 0.8, 0, 0], [0, 0, 0, 1.5], [1, 0.5, 0.5, 0.75]])
    torch.testing.assert_close(head.class_rows(ROWS).weight, 3 * (mapped + transferred))
    torch.testing.assert_close(head.detection_rows().weight, head.class_rows(ROWS).weight[[2, 0]])


@pytest.mark.parametrize(
    "name", ["log_scale", "common_bias", "linear.weight", "transfer.encoder.3.bias"]
)
def test_all_parts_learn(name: str) -> None:
    """All but the network's first layers get a gradient from the logits at the first step."""
    head = make()

    F.softplus(head(torch.rand(5, 4))).sum().backward()

    gradient = head.get_parameter(name).grad
    assert gradient is not None
    assert gradient.abs().sum() > 0
