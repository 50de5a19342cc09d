"""Tests for pipelines.study.workers, with tasks of a module that other processes can import."""

import multiprocessing
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pipelines.environment.hardware import available_cpus
from pipelines.errors import DatasetError, Interrupted
from pipelines.study import workers
from pipelines.study.workers import Outcome, Slot, in_words, run_tasks, share_out

MODULE = '''
"""A task that does what its name says."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.errors import DatasetError, Interrupted


@dataclass(frozen=True)
class NamedTask:
    label: str
    folder: Path

    def run(self, device, on_progress):
        on_progress(self.label, 1, 2)
        return getattr(self, self.label)(device)

    def succeed(self, device):
        return device, torch.get_num_threads()

    def fail(self, device):
        raise DatasetError("no boxes", where="boxes.csv", mend="Add some.")

    def surprise(self, device):
        raise ValueError("odd")

    def vanish(self, device):
        os._exit(7)

    def interrupt(self, device):
        raise Interrupted("stopped")

    def train(self, device):
        """Save what there is on Ctrl-C, as a training does, and tidy up in any case."""
        try:
            (self.folder / "train").touch()
            time.sleep(60)
        except KeyboardInterrupt:
            (self.folder / "checkpoint").touch()
        finally:
            (self.folder / "tidy").touch()

    def stay(self, device):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (self.folder / "stay").touch()
        time.sleep(60)
'''


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Return a task; others of its class do something else."""
    (tmp_path / "named_task.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "named_task", raising=False)
    return import_module("named_task").NamedTask("succeed", tmp_path)


def run(tasks: list[Any], slots: int) -> tuple[list[Outcome[Any]], set[tuple[Any, ...]]]:
    """Run tasks in slots of two threads, and return how they ended and what they told."""
    told = set()
    ended = list(
        run_tasks(tasks, [Slot("cpu", 2)] * slots, lambda task, *phase: told.add((task, *phase)))
    )
    return ended, told


@pytest.mark.parametrize("slots", [1, 2])
def test_a_task_that_fails_stops_no_other(task: Any, slots: int) -> None:  # noqa: ANN401
    """Each outcome is of its own task, with the error in the words that the user reads."""
    labels = ["fail", "surprise", "succeed", "vanish"][: 2 + slots]
    tasks = [replace(task, label=label) for label in labels]

    ended, told = run(tasks, slots)

    errors = {outcome.task.label: outcome.error for outcome in ended}
    assert errors["fail"] == "boxes.csv: no boxes\nAdd some."
    assert errors["surprise"] == "unexpected ValueError: odd"
    assert errors["succeed"] is None
    assert [o.value for o in ended if o.value] == [("cpu", 2)]
    assert told == {(task, task.label, 1, 2) for task in tasks}
    if slots == 2:
        assert errors["vanish"] == "the process ended with exit code 7, without a word"
    assert multiprocessing.active_children() == []


def test_a_stop_ends_all_processes_without_their_checkpoints(
    task: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody uses half a training; files are tidied up, and who does not listen is killed."""
    monkeypatch.setattr(workers, "_SECONDS_TO_END", 2.0)
    tasks = [replace(task, label=label) for label in ("stay", "train")]
    running: set[str] = set()

    def stop(task: Any, *phase: object) -> None:  # noqa: ANN401
        running.add(task.label)
        if len(running) == 2:
            while not all((tmp_path / label).exists() for label in running):
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(tasks, [Slot("cpu", 1)] * 2, stop))

    assert multiprocessing.active_children() == []
    assert (tmp_path / "tidy").exists()
    assert not (tmp_path / "checkpoint").exists()


def test_an_interrupted_task_ends_the_study(task: Any) -> None:  # noqa: ANN401
    """In this process, Ctrl-C is no failure of one task after which the next begins."""
    tasks = [replace(task, label="interrupt"), task]

    with pytest.raises(Interrupted, match="stopped"):
        run(tasks, slots=1)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DatasetError("bad", where="x.csv"), "x.csv: bad"),
        (OSError(28, "No space left on device", "x"), "x: No space left on device"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError("odd"), "unexpected OSError: odd"),
    ],
)
def test_errors_in_words(error: Exception, words: str) -> None:
    """No traceback, and no number of the operating system."""
    assert in_words(error) == words


@pytest.mark.parametrize(
    ("devices", "jobs", "expected"),
    [(["cpu"], 3, ["cpu"] * 3), (["cpu", "cpu:0"], 3, ["cpu", "cpu:0", "cpu"]), (["cpu"], 99, 5)],
)
def test_jobs_take_the_devices_in_turn(
    devices: list[str], jobs: int, expected: list[str] | int
) -> None:
    """There are never more jobs than trainings, and their threads share the processors."""
    slots = share_out(devices, jobs, trainings=5)

    assert [s.device for s in slots] == (["cpu"] * 5 if expected == 5 else expected)
    assert sum(slot.threads for slot in slots) <= max(available_cpus(), len(slots))
