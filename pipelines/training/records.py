"""What a training tells about itself: a record of each window of steps, and how fast it went."""

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

ItemT = TypeVar("ItemT")


@dataclass(frozen=True)
class StepRecord:
    """What a window of training steps came to: the same numbers however often it was resumed.

    Args:
        iteration: Steps so far.
        iterations: Steps in all.
        losses: Mean of each loss over the window, and of their sum as ``loss``; none if every step
            of it was left out.
        learning_rates: Of the last step.
        skipped: Steps left out so far, because a loss was not finite.
        skipped_images: Looks so far at images that do not decode; others took their places.
    """

    iteration: int
    iterations: int
    losses: dict[str, float]
    learning_rates: dict[str, float]
    skipped: int = 0
    skipped_images: int = 0


@dataclass(frozen=True)
class Timing:
    """How fast a window of training steps went, here and this time.

    Args:
        iteration: Steps so far.
        seconds: Since the record before, or since the start, without evaluations.
        images_per_second: Over these seconds, data loading included.
        data_wait: Share of them, from 0 to 1, that the steps waited for data.
        memory_bytes: The most that was in use so far, of the GPU or else resident.
        seconds_left: Estimate for the rest at this speed.
    """

    iteration: int
    seconds: float
    images_per_second: float
    data_wait: float
    memory_bytes: int
    seconds_left: float


@dataclass
class Window:
    """Sums since the last record.

    Args:
        steps: That the sums are over.
        sums: Of each loss.
    """

    steps: int = 0
    sums: dict[str, float] = field(default_factory=dict)

    def add(self, losses: Mapping[str, float]) -> None:
        """Add the losses of a step."""
        self.steps += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def means(self) -> dict[str, float]:
        """Return the mean of each loss."""
        return {name: total / self.steps for name, total in self.sums.items()}


class Stopwatch:
    """Times a window of steps, and how long they waited for data."""

    def __init__(self) -> None:
        self._start_again()

    def waiting_for(self, items: Iterable[ItemT]) -> Iterator[ItemT]:
        """Yield the items, timing how long each one takes to come."""
        remaining = iter(items)
        while True:
            asked = time.perf_counter()
            try:
                item = next(remaining)
            except StopIteration:
                return
            self._waited += time.perf_counter() - asked
            yield item

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out the time that the block takes."""
        began = time.perf_counter()
        yield
        self._started += time.perf_counter() - began

    def count(self, images: int) -> None:
        """Count a step of so many images."""
        self._steps += 1
        self._images += images

    def read(self, iteration: int, iterations: int, memory_bytes: int) -> Timing:
        """Return how fast it went since the last reading."""
        seconds = time.perf_counter() - self._started
        timing = Timing(
            iteration=iteration,
            seconds=seconds,
            images_per_second=self._images / seconds,
            data_wait=min(1.0, self._waited / seconds),
            memory_bytes=memory_bytes,
            seconds_left=seconds / self._steps * (iterations - iteration),
        )
        self._start_again()
        return timing

    def _start_again(self) -> None:
        self._started = time.perf_counter()
        self._waited, self._steps, self._images = 0.0, 0, 0
