"""Batches of a dataset, read by worker processes."""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from types import TracebackType
from typing import Any

from torch.utils.data import DataLoader, Dataset

from pipelines.data.batches import Batch, Example
from pipelines.data.samplers import Sample, TrainingSampler
from pipelines.errors import BadImageError, LostWorkerError, WTNError

AHEAD = 4
"""Batches that each worker has ready, so that a slow image holds nobody up."""

_DEATHS = ("DataLoader worker", "Pin memory thread exited")  # how torch tells of a worker's death
_CUT_OFF = (ConnectionError, EOFError, FileNotFoundError)  # what is handed over needs both ends


class TrainingLoader(DataLoader[Example]):
    """Batches of a dataset, read by worker processes.

    An error that the user can act on arrives as it was raised; a plain ``DataLoader`` would bury it
    in the text of the worker's traceback.

    Args:
        dataset: Images and targets.
        sampler: Decides the batches.
        workers: Number of processes, of one thread each; 0 reads in this one.
        pin_memory: Bring batches to memory from which a GPU copies without waiting.
    """

    def __init__(
        self,
        dataset: Dataset[Example],
        sampler: TrainingSampler,
        workers: int,
        *,
        pin_memory: bool = False,
    ) -> None:
        super().__init__(
            _ErrorsAsItems(dataset),
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=_collate,
            worker_init_fn=_prepare_worker,
            prefetch_factor=AHEAD if workers else None,
            pin_memory=pin_memory,
        )

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # DataLoader names its own kind
        """Yield a batch at a time.

        Raises:
            WTNError: For what a worker met.
            LostWorkerError: If a worker was killed.
        """
        with _worker_deaths_only_here(), _ended_at_exit():
            batches = super().__iter__()
        try:
            for batch in batches:
                if isinstance(batch, WTNError):
                    raise _with_a_way_round(batch)
                yield batch
        except (RuntimeError, *_CUT_OFF) as error:
            if not (self.num_workers and _tells_of_a_death(error)):
                raise
            raise LostWorkerError(
                f"a process that reads images was killed ({str(error).strip() or 'it hung up'})",
                mend="Memory may have run out: lower data.workers or data.shuffle_buffer. A "
                "container may have too little shared memory: docker run --ipc=host.",
            ) from error


def _tells_of_a_death(error: Exception) -> bool:
    """Tell whether a worker's end is the reason; what a worker raised names the worker."""
    if isinstance(error, RuntimeError):
        return str(error).startswith(_DEATHS)
    return "in DataLoader worker" not in str(error)


def _with_a_way_round(error: WTNError) -> WTNError:
    if not isinstance(error, BadImageError):
        return error
    mend = f"{error.mend} Or train without such images: --bad-images skip."
    return BadImageError(error.what, where=error.where, mend=mend)


@contextmanager
def _worker_deaths_only_here() -> Iterator[None]:
    """Keep torch from raising an error wherever the program is when a worker dies.

    That may be in the middle of a step, whose half would be saved. Without its signal handler the
    death is found out when the next batch is asked for.
    """
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    if handler is not None and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, handler)


@contextmanager
def _ended_at_exit() -> Iterator[None]:
    """Kill the processes that the block starts when this one ends, if they are there yet.

    Python itself would ask them with SIGTERM, which they ignore, and wait for them.
    """
    before = multiprocessing.active_children()
    yield
    started = [child for child in multiprocessing.active_children() if child not in before]
    Finalize(None, _kill, args=(started,), exitpriority=0)


def _kill(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        process.kill()


class _ErrorsAsItems(Dataset[Any]):
    """A dataset that returns the errors of another."""

    def __init__(self, dataset: Dataset[Example]) -> None:
        self._dataset = dataset

    def __getitem__(self, sample: Sample) -> Example | WTNError:
        try:
            return self._dataset[sample]
        except WTNError as error:
            return error


def _collate(items: Sequence[Example | WTNError]) -> Batch | WTNError:
    examples = []
    for item in items:
        if isinstance(item, WTNError):
            return item
        examples.append(item)
    return Batch.of(examples)


def _prepare_worker(worker: int) -> None:
    """Leave signals to stop to the process that saves the checkpoint, and end quietly with it."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.excepthook = _unless_hung_up


def _unless_hung_up(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not issubclass(kind, ConnectionError | EOFError):  # of the thread that hands tensors over
        sys.__excepthook__(kind, error, trace)
