"""Tests for pipelines.models.heads.transfer: WTN, WTN+ and AE-WTN as they start and as they train.

The switches, on values computed by hand, are in test_transfer_switches.py.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.config import HeadSettings, OptimizerSettings, ScheduleSettings
from pipelines.models.heads import ClassRowSource, ClassWeightHead, WeightTransferHead
from pipelines.training.optimizers import Optimizers

TRANSFERS = ("wtn", "wtn+", "ae-wtn")
C, S, R, M = 11, 5, 16, 7
NOBODY = torch.empty(0, dtype=torch.int64)

Make = Callable[..., ClassWeightHead]
LossesOf = Callable[[ClassWeightHead, Tensor], dict[str, Tensor]]


@pytest.mark.parametrize("method", ["wtn+", "ae-wtn"])
def test_the_first_step_scores_the_prior(source: ClassRowSource, make: Make, method: str) -> None:
    """With zero-gamma every transferred row is exactly 0, so every score is the prior."""
    head = make(source, method, zero_gamma=True)

    weight, bias = head.class_rows(source.rows)

    assert torch.equal(weight, torch.zeros(C, R))
    torch.testing.assert_close(bias, torch.full((C,), -4.59512), rtol=0, atol=1e-5)
    seen = head(torch.randn(M, R))[:, source.seen].sigmoid()
    torch.testing.assert_close(seen, torch.full((M, S), 0.01))


def test_the_first_reconstruction_loss_is_known(make: Make, losses_of: LossesOf) -> None:
    """On standard normal rows smooth L1 against 0 is 0.4246, times alpha 20."""
    rows = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    source = ClassRowSource(rows, torch.arange(5), torch.arange(5), NOBODY)
    head = make(source, "ae-wtn", zero_gamma=True)

    loss = losses_of(head, torch.randn(M, R))["loss_reconstruction"]

    assert math.isclose(loss.item() / 20, 0.4246, abs_tol=2e-3)


def test_standardization_uses_all_classes_and_the_unbiased_spread(
    source: ClassRowSource, make: Make
) -> None:
    """Mean and spread are taken over all C classes for each channel (N - 1)."""
    head = make(source, "ae-wtn")
    assert isinstance(head, WeightTransferHead)
    rows = source.rows

    expected = (rows - rows.mean(dim=0)) / rows.std(dim=0, unbiased=True)
    torch.testing.assert_close(head.standardize(rows), expected)


@pytest.mark.parametrize("value", [2.5, 0.1])
def test_a_constant_channel_stays_zero(source: ClassRowSource, make: Make, value: float) -> None:
    """A channel without spread carries nothing, also where the mean of equal numbers rounds."""
    source.rows[:, 3] = value
    head = make(source, "ae-wtn")
    assert isinstance(head, WeightTransferHead)

    assert torch.equal(head.standardize(source.rows)[:, 3], torch.zeros(C))
    assert head.class_rows(source.rows).weight.isfinite().all()


def test_without_alpha_ae_wtn_is_wtn_plus(
    source: ClassRowSource, make: Make, losses_of: LossesOf
) -> None:
    """With alpha 0 the decoder changes nothing: neither total loss nor any shared gradient."""
    plus, auto = make(source, "wtn+"), make(source, "ae-wtn", alpha=0.0)
    auto.load_state_dict(plus.state_dict(), strict=False)
    x = torch.randn(M, R)

    totals = []
    for head in (plus, auto):
        totals.append(torch.stack(list(losses_of(head, x).values())).sum())
        totals[-1].backward()

    torch.testing.assert_close(*totals)
    for name, parameter in plus.named_parameters():
        torch.testing.assert_close(parameter.grad, auto.get_parameter(name).grad)


def test_the_first_step_moves_what_the_release_moves(
    source: ClassRowSource, make: Make, losses_of: LossesOf
) -> None:
    """From zero-gamma, AdamW changes the encoder's matrices by weight decay alone."""
    head = make(source, "ae-wtn", zero_gamma=True)
    assert isinstance(head, WeightTransferHead)
    first, norm, _, last = head.transfer["encoder"]
    before = {name: p.detach().clone() for name, p in head.named_parameters()}
    options = OptimizerSettings()
    optimizers = Optimizers(head, options, ScheduleSettings(warmup_iterations=0))

    torch.stack(list(losses_of(head, torch.rand(M, R)).values())).sum().backward()
    optimizers.step()

    decay = 1 - options.transfer_learning_rate * options.transfer_weight_decay
    for number, layer in ((0, first), (3, last)):
        assert layer.weight.grad is not None
        assert not layer.weight.grad.any()
        expected = before[f"transfer.encoder.{number}.weight"] * decay
        torch.testing.assert_close(layer.weight, expected, rtol=1e-6, atol=1e-9)
    assert norm.weight.any()
    assert norm.bias.any()
    assert last.bias.any()


@pytest.mark.parametrize("method", TRANSFERS)
def test_the_detection_loss_alone_reaches_the_encoder(
    source: ClassRowSource, make: Make, method: str
) -> None:
    """Joint training: every parameter of the encoder gets a gradient from the logits."""
    head = make(source, method)
    assert isinstance(head, WeightTransferHead)

    F.softplus(head(torch.randn(M, R))).sum().backward()

    encoder = head.transfer["encoder"]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_architecture_follows_the_method(source: ClassRowSource, make: Make) -> None:
    """WTN has a first bias and no norm; WTN+ has a norm and no first bias; AE-WTN a decoder."""
    wtn, plus, auto = (make(source, method) for method in TRANSFERS)
    names = [set(dict(head.named_parameters())) for head in (wtn, plus, auto)]
    shared = {"transfer.encoder.0.weight", "common_bias"}

    assert all(shared <= found for found in names)
    assert "transfer.encoder.0.bias" in names[0]
    assert "transfer.encoder.0.bias" not in names[1]
    assert not any("decoder" in name for name in names[1])
    assert {name for name in names[2] if "decoder" in name} == {
        "transfer.decoder.0.weight",
        "transfer.decoder.1.weight",
        "transfer.decoder.1.bias",
        "transfer.decoder.3.weight",
        "transfer.decoder.3.bias",
    }


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ({"method": "ae-wtn"}, 8_394_752),
        ({"method": "wtn+"}, 8_394_752),
        ({"method": "wtn"}, 8_392_704),  # two biases, no norm
        ({"method": "wtn+", "hidden": 1024}, 4_198_400),
    ],
)
def test_the_size_of_the_paper(options: dict[str, object], parameters: int) -> None:
    """At 2048 wide each half has the published number of parameters, or half as many weights."""
    source = ClassRowSource(torch.zeros(2, 2048), torch.arange(1), torch.arange(1), NOBODY)

    head = WeightTransferHead(source, 2048, HeadSettings.model_validate(options))

    for half in head.transfer.values():
        assert sum(p.numel() for p in half.parameters()) == parameters
