"""Tests for pipelines.training.optimizers."""

import pytest
import torch
from torch import nn

from pipelines.config import HeadSettings, OptimizerSettings, ScheduleSettings
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.training.optimizers import Optimizers, rate_factor

SCHEDULE = ScheduleSettings()


@pytest.mark.parametrize(
    ("iteration", "sgd", "adamw"),
    [
        (0, 1 / 3, 1 / 3),
        (250, 2 / 3, 2 / 3),
        (499, 1 / 3 + 2 / 3 * 499 / 500, 1 / 3 + 2 / 3 * 499 / 500),
        (500, 1, 1),
        (119_999, 1, 1),
        (120_000, 0.1, 0.316228),
        (160_000, 0.01, 0.1),
        (179_999, 0.01, 0.1),
    ],
)
def test_rates_follow_the_release(iteration: int, sgd: float, adamw: float) -> None:
    """Linear warm-up from a third over 500 iterations, then drops at 120K and 160K."""
    assert rate_factor(iteration, SCHEDULE, SCHEDULE.gamma) == pytest.approx(sgd, rel=1e-5)
    assert rate_factor(iteration, SCHEDULE, SCHEDULE.transfer_gamma) == pytest.approx(
        adamw, rel=1e-5
    )


def test_no_warm_up_starts_at_the_full_rate() -> None:
    """Zero warm-up iterations are allowed."""
    assert rate_factor(0, ScheduleSettings(warmup_iterations=0), 0.1) == 1


class Model(nn.Module):
    """A frozen layer, a layer that trains, and a class head."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2).requires_grad_(False)
        self.layer = nn.Linear(3, 4)
        source = ClassRowSource(
            torch.randn(6, 5), torch.arange(2), torch.arange(2), torch.tensor([2])
        )
        options = HeadSettings.model_validate({"method": method, "groups": 2})
        self.head = build_head(options, source, 8)


def parameters_of(optimizers: Optimizers, model: nn.Module) -> dict[str, tuple[str, float, float]]:
    """Return ``{parameter: (optimizer, weight decay, rate at the start)}``."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (type(optimizer).__name__, group["weight_decay"], group["initial_lr"])
        for optimizer in optimizers._all
        for group in optimizer.param_groups
        for p in group["params"]
    }


def test_parameters_are_split_as_in_the_release() -> None:
    """AdamW has the transfer network, decaying its linear layers; SGD has the rest."""
    model = Model("ae-wtn")

    found = parameters_of(Optimizers(model, OptimizerSettings(), SCHEDULE), model)

    assert found["layer.weight"] == ("SGD", 1e-4, 0.01)
    assert found["layer.bias"] == ("SGD", 0.0, 0.02)
    assert found["head.common_bias"] == ("SGD", 0.0, 0.02)
    assert found["head.other_score.weight"] == ("SGD", 1e-4, 0.01)
    for half in ("encoder", "decoder"):
        assert found[f"head.transfer.{half}.0.weight"] == ("AdamW", 0.1, 1e-3)
        assert found[f"head.transfer.{half}.3.bias"] == ("AdamW", 0.1, 1e-3)
        assert found[f"head.transfer.{half}.1.weight"] == ("AdamW", 0.0, 1e-3)
        assert found[f"head.transfer.{half}.1.bias"] == ("AdamW", 0.0, 1e-3)
    assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("method", "rates"), [("faster-rcnn", {"lr"}), ("wtn", {"lr", "lr_transfer"})]
)
def test_adamw_exists_only_with_a_transfer_network(method: str, rates: set[str]) -> None:
    """Plain Faster R-CNN trains with SGD alone."""
    optimizers = Optimizers(Model(method), OptimizerSettings(), SCHEDULE)

    assert optimizers.learning_rates.keys() == rates
    assert optimizers.learning_rates["lr"] == pytest.approx(0.01 / 3)


@pytest.mark.parametrize("limit", [None, 2.0])
def test_the_detectors_gradient_is_shortened_on_request(limit: float | None) -> None:
    """SGD then moves by no more than rate times limit; AdamW's gradient stays as it was."""
    model = Model("wtn")
    settings = OptimizerSettings(max_gradient_norm=limit, weight_decay=0, bias_rate_factor=1)
    optimizers = Optimizers(model, settings, ScheduleSettings(warmup_iterations=0))
    before = model.layer.weight.detach().clone()
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 100.0)

    optimizers.step()

    moved = (model.layer.weight - before).norm().item()
    assert (moved <= 0.01 * 2) == (limit is not None)
    encoder = model.head.get_parameter("transfer.encoder.0.weight")
    assert torch.equal(encoder.grad, torch.full_like(encoder, 100.0))


def test_fused_steps_are_the_same_steps() -> None:
    """Both optimizers step in one kernel, and the weights differ by rounding."""
    stepped: dict[bool, dict[str, torch.Tensor]] = {}
    for fused in (False, True):
        torch.manual_seed(0)
        model = Model("ae-wtn")
        optimizers = Optimizers(model, OptimizerSettings(), SCHEDULE, fused=fused)
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn_like(parameter)
            optimizers.step()
        assert [bool(one.defaults["fused"]) for one in optimizers._all] == [fused, fused]
        stepped[fused] = {name: p.detach() for name, p in model.named_parameters()}

    torch.testing.assert_close(stepped[True], stepped[False], rtol=1e-5, atol=1e-7)


def test_a_device_without_fused_kernels_does_without() -> None:
    """Torch then chooses how it steps."""
    with torch.device("meta"):
        optimizers = Optimizers(Model("ae-wtn"), OptimizerSettings(), SCHEDULE, fused=True)

    assert [one.defaults["fused"] for one in optimizers._all] == [None, None]
