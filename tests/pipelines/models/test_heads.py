"""Tests for pipelines.models.heads. All sizes differ, so a swapped axis cannot pass.

Shapes: C classifier classes, S seen, O other, d classifier width, R RoI width, M RoIs.
"""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from pipelines.config import HeadSettings, OptimizerSettings, ScheduleSettings
from pipelines.models.heads import (
    ClassRowSource,
    ClassWeightHead,
    LinearHead,
    WeightTransferHead,
    build_head,
    prior_bias,
)
from pipelines.models.losses import classification_loss, label_tables
from pipelines.training.optimizers import Optimizers
from pipelines.vocabulary import ClassHierarchy, Vocabulary

C, S, O, WIDTH, R, M = 11, 5, 2, 12, 16, 7  # noqa: E741 - the paper's letter
METHODS = ("faster-rcnn", "wtn", "wtn+", "ae-wtn")
TRANSFERS = METHODS[1:]


@pytest.fixture
def source() -> ClassRowSource:
    """Seen and other classes are interleaved: detection places 1 and 4 are other."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(C, WIDTH, generator=generator) * 3 + 1
    seen_rows = torch.tensor([7, 2, 9, 0, 4])
    return ClassRowSource(rows, seen_rows, torch.tensor([0, 2, 3, 5, 6]), torch.tensor([1, 4]))


def make(source: ClassRowSource, method: str, *, zero_gamma: bool = False) -> ClassWeightHead:
    """Build a head with fixed initial weights."""
    torch.manual_seed(1)
    options = HeadSettings.model_validate({"method": method, "groups": 4, "zero_gamma": zero_gamma})
    return build_head(options, source, R)


def losses_of(head: ClassWeightHead, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the losses of seven RoIs: background, and the first six detection classes."""
    ids = tuple(map(str, range(head.detection_rows().weight.shape[0])))
    tables = label_tables(Vocabulary(ids, ids), ClassHierarchy.flat())
    return head.losses(x, torch.arange(M) % (len(ids) + 1), tables)


def standardized(rows: torch.Tensor) -> torch.Tensor:
    """Standardise by the definition."""
    return (rows - rows.mean(dim=0)) / rows.std(dim=0, unbiased=True)


@pytest.mark.parametrize("method", METHODS)
def test_detection_order_is_kept(source: ClassRowSource, method: str) -> None:
    """Logit k belongs to detection class k, however seen and other classes are interleaved."""
    head = make(source, method)
    x = torch.randn(M, R)

    logits = head(x)

    weight, bias = head.detection_rows()
    torch.testing.assert_close(logits, x @ weight.T + bias)
    assert logits.shape == (M, S + O)
    if isinstance(head, WeightTransferHead):
        transferred = head.class_rows(source.rows[source.seen_rows])
        torch.testing.assert_close(weight[source.seen], transferred.weight)
        assert head.other_score is not None
        torch.testing.assert_close(weight[source.other], head.other_score.weight)


@pytest.mark.parametrize("method", ["wtn+", "ae-wtn"])
def test_the_first_step_scores_the_prior(source: ClassRowSource, method: str) -> None:
    """With zero-gamma every transferred row is exactly 0, so every score is the prior."""
    head = make(source, method, zero_gamma=True)

    weight, bias = head.class_rows(source.rows)

    assert torch.equal(weight, torch.zeros(C, R))
    torch.testing.assert_close(bias, torch.full((C,), -4.59512), rtol=0, atol=1e-5)
    seen = head(torch.randn(M, R))[:, source.seen].sigmoid()
    torch.testing.assert_close(seen, torch.full((M, S), 0.01))


def test_the_first_loss_of_background_is_known() -> None:
    """2 * 500 * softplus(-4.59512) = 10.0503 for a background RoI of 500 classes."""
    ids = tuple(map(str, range(500)))
    tables = label_tables(Vocabulary(ids, ids), ClassHierarchy.flat())
    logits = torch.full((3, 500), prior_bias(0.01))

    loss = classification_loss(logits, torch.zeros(3, dtype=torch.int64), tables)

    assert math.isclose(loss.item(), 10.0503, abs_tol=1e-4)


def test_the_first_reconstruction_loss_is_known() -> None:
    """On standard normal rows smooth L1 against 0 is 0.4246, times alpha 20."""
    rows = torch.randn(4000, 64, generator=torch.Generator().manual_seed(0))
    source = ClassRowSource(
        rows, torch.arange(5), torch.arange(5), torch.empty(0, dtype=torch.int64)
    )
    head = make(source, "ae-wtn", zero_gamma=True)

    loss = losses_of(head, torch.randn(M, R))["loss_reconstruction"]

    assert math.isclose(loss.item() / 20, 0.4246, abs_tol=2e-3)


def test_standardization_uses_all_classes_and_the_unbiased_spread(source: ClassRowSource) -> None:
    """Mean and spread are taken over all C classes for each channel (N - 1)."""
    head = make(source, "ae-wtn")
    assert isinstance(head, WeightTransferHead)

    torch.testing.assert_close(head.standardize(source.rows), standardized(source.rows))


@pytest.mark.parametrize("value", [2.5, 0.1])
def test_a_constant_channel_stays_zero(source: ClassRowSource, value: float) -> None:
    """A channel without spread carries nothing, also where the mean of equal numbers rounds."""
    source.rows[:, 3] = value
    head = make(source, "ae-wtn")
    assert isinstance(head, WeightTransferHead)

    assert torch.equal(head.standardize(source.rows)[:, 3], torch.zeros(C))
    assert head.class_rows(source.rows).weight.isfinite().all()


@pytest.mark.parametrize("method", METHODS)
@given(rows=st.lists(st.integers(0, C - 1), min_size=1, max_size=2 * C))
@settings(max_examples=20)
def test_rows_are_independent(method: str, rows: list[int]) -> None:
    """A subset of rows, in any order, exports to the subset of the exported rows."""
    all_rows = torch.randn(C, WIDTH, generator=torch.Generator().manual_seed(0))
    seen = torch.arange(S)
    head = make(ClassRowSource(all_rows, seen, seen, torch.empty(0, dtype=torch.int64)), method)

    weight, bias = head.class_rows(all_rows[rows])

    torch.testing.assert_close(weight, head.class_rows(all_rows).weight[rows])
    torch.testing.assert_close(bias, head.class_rows(all_rows).bias[rows])


def test_linear_head_lends_the_row_of_the_nearest_seen_class(source: ClassRowSource) -> None:
    """Nearest is the highest cosine of raw rows, whatever their length."""
    head = make(source, "faster-rcnn")
    assert isinstance(head, LinearHead)
    rows = torch.stack([source.rows[9] * 0.1, source.rows[7] * 50])

    weight, bias = head.class_rows(rows)

    torch.testing.assert_close(weight, head.cls_score.weight[[3, 0]])
    torch.testing.assert_close(bias, head.cls_score.bias[[3, 0]])


def test_wtn_plus_is_ae_wtn_without_reconstruction(source: ClassRowSource) -> None:
    """With alpha 0 the autoencoder's decoder changes nothing in scores or encoder gradients."""
    plus, auto = make(source, "wtn+"), make(source, "ae-wtn")
    auto.load_state_dict(plus.state_dict(), strict=False)
    x = torch.randn(M, R)

    torch.testing.assert_close(plus(x), auto(x))
    plus(x).square().sum().backward()
    auto(x).square().sum().backward()
    for name, parameter in plus.named_parameters():
        torch.testing.assert_close(parameter.grad, auto.get_parameter(name).grad)


def test_the_first_step_moves_what_the_release_moves(source: ClassRowSource) -> None:
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
    for layer in (first, last):
        assert layer.weight.grad is not None
        assert not layer.weight.grad.any()
    torch.testing.assert_close(
        first.weight, before["transfer.encoder.0.weight"] * decay, rtol=1e-6, atol=1e-9
    )
    torch.testing.assert_close(
        last.weight, before["transfer.encoder.3.weight"] * decay, rtol=1e-6, atol=1e-9
    )
    assert norm.weight.any()
    assert norm.bias.any()
    assert last.bias.any()


@pytest.mark.parametrize("method", TRANSFERS)
def test_the_detection_loss_alone_reaches_the_encoder(source: ClassRowSource, method: str) -> None:
    """Joint training: every parameter of the encoder gets a gradient from the logits."""
    head = make(source, method)
    assert isinstance(head, WeightTransferHead)

    F.softplus(head(torch.randn(M, R))).sum().backward()

    encoder = head.transfer["encoder"]
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


def test_architecture_follows_the_method(source: ClassRowSource) -> None:
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


def test_the_size_of_the_paper() -> None:
    """At 2048 wide, encoder and decoder have 8,394,752 parameters each."""
    source = ClassRowSource(
        torch.zeros(2, 2048), torch.arange(1), torch.arange(1), torch.empty(0, dtype=torch.int64)
    )
    head = build_head(HeadSettings(), source, 2048)
    assert isinstance(head, WeightTransferHead)

    for half in head.transfer.values():
        assert sum(p.numel() for p in half.parameters()) == 8_394_752
