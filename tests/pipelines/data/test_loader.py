"""Tests for pipelines.data.loader: what worker processes do when somebody ends them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch
from torch.utils.data import Dataset

from pipelines.data.batches import Example
from pipelines.data.image_order import uniform_order
from pipelines.data.loader import AHEAD, TrainingLoader
from pipelines.data.samplers import Sample, TrainingSampler
from pipelines.errors import LostWorkerError

ROOT = Path(__file__).parents[3]


class Numbers(Dataset[Example]):
    """Images of one pixel."""

    def __getitem__(self, sample: Sample) -> Example:
        return Example(torch.zeros(3, 1, 1, dtype=torch.uint8), {}, str(sample.row))


class Unlucky(Numbers):
    """The worker ends with an error that is none of the user's."""

    def __getitem__(self, sample: Sample) -> Example:
        raise FileNotFoundError("a library's own file")


def endless(dataset: Dataset[Example]) -> TrainingLoader:
    """Return a loader with one worker that is never through."""
    sampler = TrainingSampler(uniform_order(2), batch_size=1, iterations=10**6, flip=0, seed=0)
    return TrainingLoader(dataset, sampler, workers=1)


@pytest.fixture(autouse=True)
def _no_worker_is_left() -> Iterator[None]:
    """End the workers of a test: they heed no signal, and other tests count processes."""
    others = set(multiprocessing.active_children())
    yield
    for worker in set(multiprocessing.active_children()) - others:
        worker.kill()
        worker.join()


@pytest.fixture
def started() -> Callable[[], BaseProcess]:
    """Return a function that returns the process that was started since."""
    others = set(multiprocessing.active_children())
    return lambda: (set(multiprocessing.active_children()) - others).pop()


@pytest.mark.parametrize("wait_for_it", [True, False])
def test_a_killed_worker_is_one_message(
    started: Callable[[], BaseProcess], wait_for_it: bool
) -> None:
    """As when memory runs out: it comes where the next batch is asked for, and says what to do.

    What it had ready and what it was handing over are lost with it, each in a way of its own.
    """
    batches = iter(endless(Numbers()))
    next(batches)
    worker = started()
    if wait_for_it:
        time.sleep(0.3)  # batches lie ready, which only a living process hands over

    worker.kill()
    worker.join()  # nothing is raised here, where a step would be half done

    with pytest.raises(LostWorkerError, match=r"reads images was killed (.|\n)*\n.*data.workers"):
        list(batches)


@pytest.mark.parametrize("route", [ConnectionResetError(104, "x"), EOFError(), FileNotFoundError()])
def test_every_way_in_which_a_worker_is_lost_is_one_message(
    route: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch raises what the socket or the shared memory does; without a worker it is a defect."""

    def lost(self: object) -> None:
        raise route

    loader = endless(Numbers())
    monkeypatch.setattr("torch.utils.data.dataloader._BaseDataLoaderIter.__next__", lost)

    with pytest.raises(LostWorkerError, match="reads images was killed"):
        next(iter(loader))
    loader.num_workers = 0
    with pytest.raises(type(route)):
        next(iter(loader))


def test_a_defect_in_a_worker_is_no_lost_worker() -> None:
    """Its traceback says where it is."""
    with pytest.raises(FileNotFoundError, match=r"in DataLoader worker process 0(.|\n)*own file"):
        next(iter(endless(Unlucky())))


def test_who_stops_all_processes_leaves_the_workers(started: Callable[[], BaseProcess]) -> None:
    """A scheduler signals every process; the one that saves needs the others until then."""
    batches = iter(endless(Numbers()))
    next(batches)
    worker = started().pid
    assert worker is not None

    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(worker, number)
    time.sleep(0.1)

    assert all(len(next(batches).image_ids) == 1 for _ in range(3 * AHEAD))


def test_workers_end_with_a_process_that_fails() -> None:
    """Also while the traceback holds on to them: nobody waits for a worker that nobody ends."""
    script = (
        "from tests.pipelines.data.test_loader import Numbers, endless\n"
        "batches = iter(endless(Numbers()))\nnext(batches)\nraise ValueError('the end')"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, cwd=ROOT
    )

    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "ValueError: the end"
