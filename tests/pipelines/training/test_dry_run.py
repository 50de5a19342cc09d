"""Tests for pipelines.training.dry_run."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.config import TrainSettings, validate_settings
from pipelines.data.batches import SkippedImage
from pipelines.distributed import ALONE
from pipelines.errors import RunError
from pipelines.training import dry_run
from pipelines.training.dry_run import try_steps
from pipelines.training.step import StepOutcome

CPU = torch.device("cpu")


class Clock:
    """A time that passes only where it is told to, and a training that takes it.

    Args:
        waits: Seconds until each batch comes.
        steps: Seconds that each step takes.
        losses: Of each step.
    """

    def __init__(
        self, waits: list[float], steps: list[float], losses: list[float] | None = None
    ) -> None:
        self.now, self.waits, self.steps = 100.0, waits, steps
        self.losses = losses or [1.0] * len(steps)
        self.rates: list[int] = []
        self.skipped: list[SkippedImage] = []
        self.taken: list[int] = []

    def batches(self) -> Iterator[Any]:
        """Yield a batch after each wait."""
        for wait in self.waits:
            self.now += wait
            yield SimpleNamespace(pixels=[], targets=[], skipped=self.skipped)

    def step(self, iteration: int, images: object, targets: object) -> StepOutcome:
        """Take a step of the next duration and loss."""
        loss = self.losses[len(self.taken)]
        self.now += self.steps[len(self.taken)]
        self.taken.append(iteration)
        return StepOutcome({"loss_a": loss, "loss": loss}, finite=loss == loss)

    @property
    def trainee(self) -> Any:  # noqa: ANN401 - stands for a Trainee
        """What takes the steps."""
        return SimpleNamespace(
            optimizers=SimpleNamespace(set_rates=self.rates.append), step=self.step
        )


@pytest.fixture
def settings() -> TrainSettings:
    """Return settings of batches of four images, and of one step that may be left out."""
    return validate_settings({
        "classifier": "c", "data": {"boxes": "b"}, "schedule": {"batch_size": 4},
        "limits": {"skip_nonfinite": 1},
    })  # fmt: skip


def test_the_speed_is_that_of_the_middle_step_after_the_first(
    settings: TrainSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seconds are with the wait for data, and the rates are those of the real iterations."""
    clock = Clock(waits=[9, 1, 1, 3], steps=[30, 2, 4, 3], losses=[7, 6, 5, 4])
    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock.now)

    speed = try_steps(clock.trainee, clock.batches(), settings, CPU, ALONE, taken=10)

    assert speed.steps == 4
    assert speed.seconds_per_iteration == 5  # of 3, 5 and 6
    assert speed.images_per_second == 4 / 5
    assert speed.data_wait == pytest.approx(5 / 14)
    assert speed.loss == 7
    assert speed.memory_bytes > 0
    assert clock.rates == [10, 11, 12, 13]
    assert clock.taken == [11, 12, 13, 14]


@pytest.mark.parametrize(
    ("seconds", "steps"), [(0.1, 8), (10.0, 7), (40.0, 3)], ids=["fast", "slow", "very slow"]
)
def test_a_few_steps_are_enough(
    settings: TrainSettings,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    steps: int,
) -> None:
    """Eight of them, or as many as begin within a minute, but three; the rest is not taken."""
    clock = Clock(waits=[0] * 20, steps=[seconds] * 20)
    monkeypatch.setattr(dry_run.time, "perf_counter", lambda: clock.now)

    assert try_steps(clock.trainee, clock.batches(), settings, CPU, ALONE).steps == steps
    assert len(clock.taken) == steps


def test_a_single_step_is_its_own_measure(settings: TrainSettings) -> None:
    """A training of one iteration has no second one to time."""
    clock = Clock(waits=[0], steps=[0])

    assert try_steps(clock.trainee, clock.batches(), settings, CPU, ALONE).steps == 1


def test_bad_images_are_named_once(settings: TrainSettings) -> None:
    """However often they were met."""
    clock = Clock(waits=[0] * 2, steps=[0] * 2)
    clock.skipped = [SkippedImage("a", "a.png: broken"), SkippedImage("b", "b.png: broken")]

    speed = try_steps(clock.trainee, clock.batches(), settings, CPU, ALONE)

    assert speed.bad_images == ("a.png: broken", "b.png: broken")


def test_a_loss_that_is_not_finite_ends_it_as_it_would_end_the_training(
    settings: TrainSettings,
) -> None:
    """As many steps as the training would leave out are put up with."""
    nan = float("nan")
    one = Clock(waits=[0] * 3, steps=[0] * 3, losses=[1, nan, 1])
    two = Clock(waits=[0] * 3, steps=[0] * 3, losses=[nan, 1, nan])

    assert try_steps(one.trainee, one.batches(), settings, CPU, ALONE).steps == 3
    with pytest.raises(RunError, match="loss_a and loss are not finite at iteration 3"):
        try_steps(two.trainee, two.batches(), settings, CPU, ALONE)
