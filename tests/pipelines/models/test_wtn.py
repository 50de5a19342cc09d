"""Tests for pipelines.models.wtn: how the network starts, dropout, and the activity regulariser."""

import math

import pytest
import torch
from torch import nn

from pipelines.config import HeadSettings
from pipelines.models.wtn import WeightTransfer, activity_loss


def network(**options: object) -> WeightTransfer:
    """Return a wide network as it starts: 300 in, 400 hidden, 200 out."""
    torch.manual_seed(0)
    tree = {"method": "wtn", **options}
    return WeightTransfer(300, 400, 200, HeadSettings.model_validate(tree))


def test_uniform_initialization_is_pytorchs() -> None:
    """U(-1/sqrt(fan_in), 1/sqrt(fan_in)), whose spread is the bound over sqrt(3); biases are 0."""
    for layer, fan_in in zip(network().linears, (300, 400), strict=True):
        bound = 1 / math.sqrt(fan_in)
        assert bound * 0.99 < layer.weight.abs().max() <= bound
        assert math.isclose(layer.weight.std().item(), bound / math.sqrt(3), rel_tol=0.02)
        assert not layer.bias.any()


def test_msra_initialization_goes_by_fan_out() -> None:
    """N(0, sqrt(2 / fan_out)), whose tails reach beyond three spreads; biases are 0."""
    for layer, fan_out in zip(network(initialization="msra").linears, (400, 200), strict=True):
        spread = math.sqrt(2 / fan_out)
        assert math.isclose(layer.weight.std().item(), spread, rel_tol=0.02)
        assert layer.weight.abs().max() > 3 * spread
        assert not layer.bias.any()


def test_dropout_drops_hidden_activations_in_training_only() -> None:
    """Of 40,000 activations 30 % are dropped and the rest are larger by 1 / 0.7; offline none."""
    transfer, rows = network(dropout=0.3), torch.randn(100, 300)
    kept = transfer.eval().hidden(rows)

    dropped = transfer.train().hidden(rows)

    zero = dropped == 0
    assert math.isclose(zero.float().mean().item(), 0.3, abs_tol=0.01)
    torch.testing.assert_close(dropped[~zero], kept[~zero] / 0.7)
    assert (kept != 0).all()
    assert not any(isinstance(layer, nn.Dropout) for layer in network())


@pytest.mark.parametrize(("reduction", "value"), [("sumsq", 12.5), ("l2", 2.5), ("mse", 6.25)])
def test_activity_by_hand(reduction: str, value: float) -> None:
    """Of (3, 4) and (0, 0): mean squared length, mean length, mean square; gradients are finite."""
    hidden = torch.tensor([[3.0, 4.0], [0.0, 0.0]], requires_grad=True)

    loss = activity_loss(hidden, reduction)
    loss.backward()

    assert math.isclose(loss.item(), value, rel_tol=1e-6)
    assert hidden.grad is not None
    assert hidden.grad.isfinite().all()
    assert not hidden.grad[1].any()
