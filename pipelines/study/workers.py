"""Tasks side by side: each device slot is a process that takes one task after the other."""

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, NoReturn, Protocol, TypeVar

import torch

from pipelines.devices import device_named
from pipelines.environment.hardware import available_cpus
from pipelines.errors import Interrupted, WTNError
from pipelines.study.worlds import Progress

_SECONDS_TO_END = 10.0  # in which a process that is stopped removes its half-written files


class Task(Protocol):
    """Work that can be sent to another process."""

    @property
    def label(self) -> str:
        """Its name, for progress."""
        ...

    def run(self, device: str, on_progress: Progress) -> Any:  # noqa: ANN401 - the task's own
        """Do the work on a device, and return what came out; it can be sent back."""
        ...


@dataclass(frozen=True)
class Slot:
    """Where one task at a time can run.

    Args:
        device: Of training and evaluation.
        threads: Of the processor, for a process of its own.
    """

    device: str
    threads: int


def share_out(devices: Sequence[str], jobs: int | None, trainings: int) -> list[Slot]:
    """Return the slots of jobs side by side, no more than there are trainings.

    Raises:
        ConfigError: If no device is called so.
    """
    on_cpu = all(device_named(device).type == "cpu" for device in devices)
    cpus = available_cpus()
    wanted = jobs or (cpus if on_cpu else len(devices))
    count = min(wanted, trainings)
    return [Slot(devices[i % len(devices)], max(cpus // count, 1)) for i in range(count)]


TaskT = TypeVar("TaskT", bound=Task)


@dataclass(frozen=True)
class Outcome(Generic[TaskT]):
    """How a task ended: with a value, or with an error in words."""

    task: TaskT
    value: Any = None
    error: str | None = None


OnPhase = Callable[[Task, str, int, int], None]


def run_tasks(
    tasks: Sequence[TaskT], slots: Sequence[Slot], on_phase: OnPhase
) -> Iterator[Outcome[TaskT]]:
    """Run tasks, and yield how each ended, as they end; one that fails stops no other.

    With a single slot they run in this process.

    Args:
        tasks: Taken up in this order.
        slots: As many run at a time.
        on_phase: Called with a task, the name of a part of its work, and how far that is.
    """
    if len(slots) == 1:
        for task in tasks:
            yield _attempt(task, slots[0].device, partial(on_phase, task))
    else:
        yield from _run_in_processes(tasks, slots, on_phase)


def _attempt(task: TaskT, device: str, on_progress: Progress) -> Outcome[TaskT]:
    try:
        return Outcome(task, task.run(device, on_progress))
    except Interrupted:
        raise
    except Exception as error:  # whatever it is, the other tasks can go on
        return Outcome(task, error=in_words(error))


def in_words(error: Exception) -> str:
    """Return an error as it is told to the user."""
    if isinstance(error, WTNError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:  # the disk is full, a file is not readable
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error}"


@dataclass
class _Worker(Generic[TaskT]):
    slot: Slot
    process: BaseProcess
    connection: Connection
    task: TaskT


def _run_in_processes(
    tasks: Sequence[TaskT], slots: Sequence[Slot], on_phase: OnPhase
) -> Iterator[Outcome[TaskT]]:
    waiting, idle = deque(tasks), list(slots)
    workers: dict[Connection, _Worker[TaskT]] = {}
    try:
        while waiting or workers:
            while waiting and idle:
                worker = _start(idle.pop(0), waiting.popleft())
                workers[worker.connection] = worker
            for connection in wait(list(workers)):
                assert isinstance(connection, Connection)
                worker = workers[connection]
                message = _receive(worker)
                if not isinstance(message, Outcome):
                    on_phase(worker.task, *message)
                    continue
                if waiting and message.error is None:
                    worker.task = waiting.popleft()
                    connection.send(worker.task)
                else:  # a process in which something went wrong is not used again
                    idle.append(workers.pop(connection).slot)
                    _end(worker)
                yield message
    finally:
        for worker in workers.values():
            worker.process.terminate()
        for worker in workers.values():
            _end(worker)


def _start(slot: Slot, task: TaskT) -> _Worker[TaskT]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, slot))
    process.start()
    theirs.close()
    ours.send(task)
    return _Worker(slot, process, ours, task)


def _receive(worker: _Worker[TaskT]) -> Outcome[TaskT] | tuple[str, int, int]:
    """Return the next message: a phase, or the outcome of the task, which a lost process has too.

    The outcome is told of the task as it is known here.
    """
    try:
        message: Outcome[TaskT] | tuple[str, int, int] = worker.connection.recv()
    except (EOFError, OSError):
        worker.process.join(_SECONDS_TO_END)
        ended = f"the process ended with exit code {worker.process.exitcode}, without a word"
        return Outcome(worker.task, error=ended)
    if isinstance(message, Outcome):
        return Outcome(worker.task, message.value, message.error)
    return message


def _end(worker: _Worker[TaskT]) -> None:
    """Let a process end, which it does by itself once nobody speaks to it."""
    worker.connection.close()
    worker.process.join(_SECONDS_TO_END)
    if worker.process.is_alive():
        worker.process.kill()
        worker.process.join()


def _serve(connection: Connection, slot: Slot) -> None:
    """Do the tasks that come, in a process of its own, until there are no more.

    Ctrl-C reaches all processes of a terminal; the one that dealt the tasks ends the others.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    torch.set_num_threads(slot.threads)
    with contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            task: Task = connection.recv()
            outcome = _attempt(
                task, slot.device, lambda phase, done, total: connection.send((phase, done, total))
            )
            connection.send(outcome)


def _leave(signal_number: int, frame: object) -> NoReturn:
    """End as one does, but without the checkpoint that a training saves on a KeyboardInterrupt."""
    raise SystemExit
