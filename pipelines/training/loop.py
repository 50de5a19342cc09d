"""The optimisation loop: one summed loss, two optimizers, a record of every loss."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pipelines.data.detection import TrainingLoader
from pipelines.errors import RunError
from pipelines.training.optimizers import Optimizers


@dataclass(frozen=True)
class StepRecord:
    """What a window of training steps looked like.

    Args:
        iteration: Steps taken so far.
        iterations: Steps in all.
        losses: Mean of each loss over the window, and their sum as ``loss``.
        learning_rates: Of the last step.
        images_per_second: Over the window, data loading included.
        seconds_left: Estimate for the rest at this speed.
    """

    iteration: int
    iterations: int
    losses: dict[str, float]
    learning_rates: dict[str, float]
    images_per_second: float
    seconds_left: float


@dataclass
class _Window:
    """Sums since the last record."""

    started: float = field(default_factory=time.perf_counter)
    steps: int = 0
    images: int = 0
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))


def run_training(
    model: nn.Module,
    loader: TrainingLoader,
    optimizers: Optimizers,
    device: torch.device,
    log_every: int,
) -> Iterator[tuple[int, StepRecord | None]]:
    """Train on every batch of the loader.

    Args:
        model: On ``device``; returns a dict of losses in training mode.
        loader: The batches; it knows how many.
        optimizers: Step once a batch.
        device: Where the model is.
        log_every: Steps a record.

    Yields:
        After every step, the number of steps taken, and a record after the first, the last, and
        every ``log_every`` steps.

    Raises:
        RunError: At the first loss that is not finite, before it reaches the weights.
    """
    model.train()
    window = _Window()
    for iteration, loaded in enumerate(loader, start=1):
        rates = optimizers.learning_rates
        batch = loaded.to(device)
        losses = model(batch.pixels, batch.targets)
        total = sum(losses.values())
        _note(window, losses, total, len(batch.images), iteration)
        optimizers.zero_grad()
        total.backward()
        optimizers.step()
        if iteration in (1, len(loader)) or iteration % log_every == 0:
            yield iteration, _record(window, iteration, len(loader), rates)
            window = _Window()
        else:
            yield iteration, None


def _note(
    window: _Window, losses: dict[str, Tensor], total: Tensor, images: int, iteration: int
) -> None:
    names = [*losses, "loss"]
    values = torch.stack([*losses.values(), total]).detach().double().tolist()  # one transfer
    bad = [name for name, value in zip(names, values, strict=True) if not math.isfinite(value)]
    if bad:
        raise RunError(
            f"{' and '.join(bad)} is not finite at iteration {iteration}",
            mend="Lower optimizer.learning_rate, or warm up longer (schedule.warmup_iterations).",
        )
    for name, value in zip(names, values, strict=True):
        window.sums[name] += value
    window.steps += 1
    window.images += images


def _record(
    window: _Window, iteration: int, iterations: int, rates: dict[str, float]
) -> StepRecord:
    seconds = time.perf_counter() - window.started
    return StepRecord(
        iteration=iteration,
        iterations=iterations,
        losses={name: total / window.steps for name, total in window.sums.items()},
        learning_rates=rates,
        images_per_second=window.images / seconds,
        seconds_left=seconds / window.steps * (iterations - iteration),
    )
