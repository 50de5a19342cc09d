"""Tests for pipelines.training.step: a step is a function of weights, seed, iteration and batch."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings
from pipelines.data.batches import Target
from pipelines.distributed import Team
from pipelines.errors import ConfigError
from pipelines.training.optimizers import Optimizers
from pipelines.training.step import StepOutcome, TrainingStep

CPU = torch.device("cpu")
Build = Callable[[TrainSettings], GeneralizedRCNN]
Draw = Callable[[int], tuple[list[Tensor], list[Target]]]
Settle = Callable[..., TrainSettings]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Use one thread: for images this small, more of them wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Training:
    """A detector, its optimizers and its step."""

    def __init__(self, build: Build, settings: TrainSettings) -> None:
        self.model = build(settings)
        self.optimizers = Optimizers(self.model, settings.optimizer, settings.schedule)
        self.step = TrainingStep(self.model, self.optimizers, settings, CPU)

    def run(self, draw: Draw, iterations: range) -> list[StepOutcome]:
        """Take steps."""
        return [self.step(iteration, *draw(iteration)) for iteration in iterations]

    @property
    def weights(self) -> dict[str, Tensor]:
        """A copy of all weights and statistics."""
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Tell whether all tensors are equal, bit by bit."""
    return all(torch.equal(first[name], second[name]) for name in first | second)


@pytest.mark.parametrize(
    ("method", "head"),
    [
        ("ae-wtn", {"dropout": 0.2, "reconstructed_count": 3}),
        ("wtn+", {"norm": "batch"}),
        ("faster-rcnn", {}),
    ],
)
def test_passes_do_not_change_what_is_learned(
    settle: Settle, build: Build, batch: Draw, method: str, head: dict[str, Any]
) -> None:
    """Twenty steps of one pass and of two end with the same losses and weights, to rounding."""
    trainings = []
    for passes in (1, 2):
        training = Training(build, settle(method, head=head, engine={"accumulation": passes}))
        outcomes = training.run(batch, range(1, 21))
        trainings.append((outcomes[-1].losses, training.weights))

    (losses, weights), (other_losses, other_weights) = trainings
    assert other_losses == pytest.approx(losses, abs=1e-5)
    torch.testing.assert_close(other_weights, weights, rtol=0, atol=2e-4)


def test_a_step_depends_on_no_step_before(settle: Settle, build: Build, batch: Draw) -> None:
    """After the first two steps, the third one is the same whatever was drawn in between."""
    settings = settle(head={"dropout": 0.2, "reconstructed_count": 3})
    straight, disturbed = Training(build, settings), Training(build, settings)

    straight.run(batch, range(1, 4))
    disturbed.run(batch, range(1, 3))
    torch.rand(5)
    disturbed.run(batch, range(3, 4))

    assert same(straight.weights, disturbed.weights)


def test_the_seed_and_the_iteration_decide_the_draws(
    settle: Settle, build: Build, batch: Draw
) -> None:
    """Another seed, or another number of the step, trains on other RoIs."""
    outcomes = [
        Training(build, settings).step(iteration, *batch(1)).losses
        for settings, iteration in [
            (settle(), 1),
            (settle(), 2),
            (settle().model_copy(update={"seed": 1}), 1),
        ]
    ]

    values = {losses["loss_objectness"] for losses in outcomes}
    assert len(values) == 3


def test_losses_add_up(settle: Settle, build: Build, batch: Draw) -> None:
    """The outcome has every loss by name, and their sum."""
    losses = Training(build, settle()).step(1, *batch(1)).losses

    names = {"loss_classifier", "loss_box_reg", "loss_reconstruction", "loss_objectness",
             "loss_rpn_box_reg", "loss"}  # fmt: skip
    assert set(losses) == names
    assert losses["loss"] == pytest.approx(sum(losses.values()) - losses["loss"], rel=1e-6)


def test_a_loss_that_is_not_finite_changes_nothing(
    settle: Settle, build: Build, batch: Draw
) -> None:
    """Neither weights, nor optimizers, nor the statistics of batch norm; the next step is as ever.

    With an image of NaN every activation after it is one.
    """
    settings = settle("wtn+", head={"norm": "batch"}, backbone={"frozen_batch_norm": False})
    spoiled, clean = Training(build, settings), Training(build, settings)
    images, targets = batch(1)
    before = spoiled.weights

    outcome = spoiled.step(1, [torch.full_like(images[0], torch.nan), *images[1:]], targets)

    assert not outcome.finite
    assert same(spoiled.weights, before)
    assert spoiled.run(batch, range(2, 3))[0].finite
    clean.run(batch, range(2, 3))
    assert same(spoiled.weights, clean.weights)


def test_a_gradient_that_is_not_finite_changes_nothing(
    settle: Settle, build: Build, batch: Draw
) -> None:
    """Finite losses are not enough."""
    training = Training(build, settle())
    before = training.weights
    bias = training.model.roi_heads.bbox_pred.bias
    bias.register_hook(lambda gradient: gradient * torch.inf)

    assert not training.step(1, *batch(1)).finite
    assert same(training.weights, before)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_nearly_the_same(
    settle: Settle, build: Build, batch: Draw, precision: str
) -> None:
    """The first losses agree to the precision; weights and what the transfer makes stay float32."""
    exact = Training(build, settle()).run(batch, range(1, 2))[0]
    training = Training(build, settle(engine={"precision": precision}))
    half = training.run(batch, range(1, 4))

    assert half[0].losses == pytest.approx(exact.losses, rel=0.05)
    assert half[0].losses != exact.losses
    assert half[0].losses["loss_reconstruction"] == exact.losses["loss_reconstruction"]
    assert {tensor.dtype for tensor in training.model.parameters()} == {torch.float32}
    assert all(outcome.finite for outcome in half)


def test_a_float16_overflow_lowers_the_scale_and_changes_nothing_else(
    settle: Settle, build: Build, batch: Draw
) -> None:
    """Both optimizers wait although only one's gradient overflowed; the next step is smaller."""
    training = Training(build, settle(engine={"precision": "float16"}))
    training.step.load_state({"scale": 2.0**30, "_growth_tracker": 0})
    before = training.weights

    outcome = training.step(1, *batch(1))

    assert outcome.finite
    assert outcome.overflowed
    assert same(training.weights, before)
    assert training.step.state() == {"scale": 2.0**29, "_growth_tracker": 0}


def test_a_loss_that_is_not_finite_leaves_the_scale(
    settle: Settle, build: Build, batch: Draw
) -> None:
    """It is none of its doing, so what is kept for replay is the state before; others follow."""
    training = Training(build, settle(engine={"precision": "float16"}))
    training.step.load_state({"scale": 4.0, "_growth_tracker": 3})
    images, targets = batch(1)

    outcome = training.step(1, [image * torch.nan for image in images], targets)

    assert not outcome.finite
    assert training.step.state() == {"scale": 4.0, "_growth_tracker": 3}
    assert training.step(2, *batch(2)).finite
    assert training.step.state() == {"scale": 4.0, "_growth_tracker": 4}


def test_an_overflow_at_scale_one_is_no_overflow(settle: Settle, build: Build, batch: Draw) -> None:
    """Where a smaller scale cannot help, the gradient is not finite."""
    training = Training(build, settle(engine={"precision": "float16"}))
    training.step.load_state({"scale": 1.0, "_growth_tracker": 0})
    bias = training.model.roi_heads.bbox_pred.bias
    bias.register_hook(lambda gradient: gradient * torch.inf)

    outcome = training.step(1, *batch(1))

    assert (outcome.finite, outcome.overflowed) == (False, False)


def test_other_precisions_have_no_state(settle: Settle, build: Build) -> None:
    """Only float16 scales its losses."""
    step = Training(build, settle()).step

    assert step.state() == {}
    step.load_state({})


def test_a_batch_that_cannot_be_shared_is_refused(settle: Settle, build: Build) -> None:
    """4 images do not make 3 shares, nor 2 passes of 3 processes."""
    settings = settle(engine={"accumulation": 2})
    model = build(settings)
    optimizers = Optimizers(model, settings.optimizer, settings.schedule)

    with pytest.raises(ConfigError, match="4 images cannot be shared by 3 processes with 2 passes"):
        TrainingStep(model, optimizers, settings, CPU, Team(size=3))
