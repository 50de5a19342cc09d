"""Tests for pipelines.training.replicas and pipelines.distributed: processes that train as one."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def start(size: int, output: Path) -> list["subprocess.Popen[str]"]:
    """Start so many processes, which write what came of it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}  # fmt: skip
    script = [sys.executable, HERE / "train_in_processes.py", HERE / "conftest.py", output]
    return [
        subprocess.Popen(
            script,
            env=os.environ
            | {name: str(value) for name, value in shared.items()}
            | {"RANK": str(n)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(size)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what one process and two came to, by method."""
    folder = tmp_path_factory.mktemp("processes")
    outputs = [folder / "one.pt", folder / "two.pt"]
    started = [p for size, output in enumerate(outputs, 1) for p in start(size, output)]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], errors
    return [torch.load(output) for output in outputs]


@pytest.mark.parametrize("method", ["ae-wtn", "wtn+", "faster-rcnn"])
def test_two_processes_learn_what_one_does(runs: list[dict[str, Any]], method: str) -> None:
    """After 20 steps on four images, together or two each, losses and weights are the same.

    To rounding: 1e-5 in losses, 2e-4 in weights, of which AdamW moves each by up to 2e-2.
    """
    one, two = (run[method] for run in runs)

    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    torch.testing.assert_close(two["weights"], one["weights"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ["ae-wtn", "wtn+", "faster-rcnn", "zsd"])
def test_all_processes_have_the_same_weights(runs: list[dict[str, Any]], method: str) -> None:
    """Bit by bit, although one of them started from others, and with batch norm that trains."""
    assert runs[1][method]["same"]


@pytest.mark.parametrize("method", ["ae-wtn", "faster-rcnn"])
def test_what_is_not_finite_in_one_process_changes_none(
    runs: list[dict[str, Any]], method: str
) -> None:
    """NaN in the last process's images: no process takes the step."""
    assert runs[1][method]["refused"]
