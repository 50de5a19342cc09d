"""The batches of a process, and what all processes must know of each other before a step."""

import math
import time
from collections.abc import Iterable
from typing import NamedTuple

from pipelines.data.batches import Batch
from pipelines.distributed import Team
from pipelines.errors import ArtifactError, DatasetError, LostWorkerError, WTNError
from pipelines.training.stopping import StopRequest


class Turn(NamedTuple):
    """What comes next, in all processes.

    Args:
        batch: Of this process; None if it has none.
        stops: Whether the training is to stop instead, in any process.
        skipped: Looks at images that do not decode, in the batches of all processes.
        error: Of the first process whose data end the training, or None.
    """

    batch: Batch | None
    stops: bool
    skipped: int
    error: WTNError | None


class Turns:
    """Asks for one batch after another, and agrees with the other processes on what to do.

    A step waits for all processes. So one that has no batch says so first, in the one exchange that
    precedes every step, and the others do not wait in vain.

    Args:
        batches: Of this process.
        stop: A request that reaches this process.
        team: The processes that share each step.
    """

    def __init__(self, batches: Iterable[Batch], stop: StopRequest, team: Team) -> None:
        self._batches, self._stop, self._team = iter(batches), stop, team

    def next(self, deadline: float, *, may_stop: bool) -> Turn:
        """Return what comes next.

        Args:
            deadline: Time of ``time.monotonic`` after which no step begins.
            may_stop: Whether it may stop here, and so need not wait for a batch; not before the
                first step, or a run of short sessions would never end.
        """
        deadline = deadline if may_stop else math.inf
        batch, error = None, None
        if not (may_stop and self._is_to_stop(deadline)):
            try:
                batch = next(self._batches, None)
            except (DatasetError, ArtifactError, LostWorkerError) as found:
                error = found
        skipped = 0 if batch is None else len(batch.skipped)
        stops, failures, skipped = self._team.totals(
            [self._is_to_stop(deadline), error is not None, skipped]
        )
        stopping = stops > 0 and (may_stop or failures > 0)  # a signal may have ended readers too
        return Turn(batch, stopping, skipped, self._first(error) if failures else None)

    def are_over(self, deadline: float) -> bool:
        """Return whether the training is to stop now, in any process."""
        return self._team.any(self._is_to_stop(deadline))

    def _is_to_stop(self, deadline: float) -> bool:
        return self._stop.is_made or time.monotonic() >= deadline

    def _first(self, error: WTNError | None) -> WTNError:
        """Return the error of the first process that has one, and say which that is."""
        errors = self._team.gather_objects(error)
        rank, first = next((rank, each) for rank, each in enumerate(errors) if each is not None)
        if self._team.size == 1:
            return first
        mend = " ".join(filter(None, [first.mend, f"It was process {rank} that met it."]))
        return type(first)(first.what, where=first.where, mend=mend)
