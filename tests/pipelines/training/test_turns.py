"""Tests for pipelines.training.turns, on two processes that are threads here."""

import math
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest

from pipelines.data.batches import Batch, SkippedImage
from pipelines.distributed import Team
from pipelines.errors import DatasetError, LostWorkerError, WTNError
from pipelines.training.stopping import StopRequest
from pipelines.training.turns import Turn, Turns

GOOD = Batch([], [], [], [])
ONE_SKIPPED = GOOD._replace(skipped=[SkippedImage("a", "a.jpg: broken")])
GONE = DatasetError("the archive is gone", where="a.zip", mend="Bring it back.")
KILLED = LostWorkerError("a process that reads images was killed")


@dataclass
class Meeting:
    """Where two threads wait for each other; ``times`` counts how often."""

    values: list[Any] = field(default_factory=lambda: [None, None])
    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=5))
    times: int = 0

    def gather(self, rank: int, value: object) -> list[Any]:
        """Return what both have brought."""
        self.values[rank] = value
        self.barrier.wait()
        gathered = list(self.values)
        self.times += rank
        self.barrier.wait()
        return gathered


@dataclass(frozen=True)
class Threads(Team):
    """A team of two threads."""

    meeting: Meeting = field(default_factory=Meeting)

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Add up."""
        return [sum(parts) for parts in zip(*self.meeting.gather(self.rank, counts), strict=True)]

    def gather_objects(self, value: Any) -> list[Any]:  # noqa: ANN401
        """Bring everything together."""
        return self.meeting.gather(self.rank, value)


Given = Sequence[Batch | WTNError]


def give(items: Given) -> Iterator[Batch]:
    """Yield batches, and raise errors."""
    for item in items:
        if isinstance(item, WTNError):
            raise item
        yield item


def take(
    items: tuple[Given, Given], *, stops: int | None = None, deadline: float = math.inf
) -> tuple[list[list[Turn]], int]:
    """Return each process's turns until one is not a step, and how often they have exchanged.

    Args:
        items: That come to each process.
        stops: The process that is asked to stop.
        deadline: Of both.
    """
    meeting = Meeting()

    def run(rank: int) -> list[Turn]:
        stop = StopRequest()
        turns, taken = Turns(give(items[rank]), stop, Threads(rank, 2, meeting=meeting)), []
        if rank == stops:
            stop.make()
        while not taken or (taken[-1].batch and not taken[-1].error and not taken[-1].stops):
            taken.append(turns.next(deadline, may_stop=bool(taken)))
        return taken

    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(run, (0, 1))), meeting.times


def test_all_hear_of_data_that_fail_in_one_process() -> None:
    """Before the step that it cannot take: with its own message, and which process it was."""
    (first, second), _ = take(([GOOD, GOOD, GOOD], [GOOD, GONE]))

    for turns in (first, second):
        assert [turn.error is None for turn in turns] == [True, False]
        error = turns[-1].error
        assert isinstance(error, DatasetError)
        assert str(error) == (
            "a.zip: the archive is gone\nBring it back. It was process 1 that met it."
        )


def test_a_step_takes_one_exchange() -> None:
    """Of two: that there are no more batches takes the third."""
    (first, second), exchanges = take(([GOOD, ONE_SKIPPED], [ONE_SKIPPED, ONE_SKIPPED]))

    assert [turn.skipped for turn in first] == [turn.skipped for turn in second] == [1, 2, 0]
    assert exchanges == 3


@pytest.mark.parametrize("rank", [0, 1])
def test_all_stop_where_one_is_asked_to(rank: int) -> None:
    """After the first step, and who is asked waits for no more data, which may be gone."""
    mine: Given = [GOOD, GONE]
    both = (mine, [GOOD] * 2) if rank == 0 else ([GOOD] * 2, mine)

    (first, second), _ = take(both, stops=rank)

    assert [turn.stops for turn in first] == [turn.stops for turn in second] == [False, True]
    assert first[-1].error is None


def test_time_that_is_over_leaves_one_step() -> None:
    """Or a run of sessions that are too short would stay where it is."""
    (first, second), _ = take(([GOOD] * 3, [GOOD] * 3), deadline=time.monotonic())

    assert [turn.stops for turn in first] == [turn.stops for turn in second] == [False, True]


def test_a_signal_that_ended_readers_too_is_a_stop() -> None:
    """Also before the first step, and if the signal reached one process only."""
    (first, second), _ = take(([GOOD], [KILLED]), stops=1)

    assert first[0].stops
    assert second[0].stops
    (first, second), _ = take(([GOOD], [KILLED]), deadline=time.monotonic())
    assert not first[0].stops
    assert isinstance(second[0].error, LostWorkerError)
