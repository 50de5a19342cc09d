"""Tests for pipelines.training.replicas and pipelines.distributed: processes that train as one."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed import TCPStore

HERE = Path(__file__).parent
ROOT = HERE.parents[2]


def start(size: int, output: Path) -> tuple[TCPStore, list["subprocess.Popen[str]"]]:
    """Start so many processes, which write what came of it.

    They meet at a store of ours, which has a port of its own, as torchrun lets them meet.
    """
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {"WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(store.port),
              "TORCHELASTIC_USE_AGENT_STORE": "True", "OMP_NUM_THREADS": "1",
              "PYTHONPATH": str(ROOT)}  # fmt: skip
    script = [sys.executable, HERE / "train_in_processes.py", HERE / "conftest.py", output]
    return store, [
        subprocess.Popen(
            script,
            env=os.environ | shared | {"RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    """Return what one process, two and three came to, by method."""
    folder = tmp_path_factory.mktemp("processes")
    outputs = {size: folder / f"{size}.pt" for size in (1, 2, 3)}
    teams = [start(size, output) for size, output in outputs.items()]
    processes = [process for _, team in teams for process in team]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, errors
    return {size: torch.load(output) for size, output in outputs.items()}


@pytest.mark.parametrize("method", ["ae-wtn", "wtn+", "faster-rcnn"])
def test_two_processes_learn_what_one_does(runs: dict[int, dict[str, Any]], method: str) -> None:
    """After 20 steps on four images, together or two each, losses and weights are the same.

    To rounding: 1e-5 in losses, 2e-4 in weights, of which AdamW moves each by up to 2e-2.
    """
    one, two = (runs[size][method] for size in (1, 2))

    assert two["losses"] == pytest.approx(one["losses"], abs=1e-5)
    torch.testing.assert_close(two["weights"], one["weights"], rtol=0, atol=2e-4)


@pytest.mark.parametrize("method", ["ae-wtn", "wtn+", "faster-rcnn", "zsd"])
def test_all_processes_have_the_same_weights(runs: dict[int, dict[str, Any]], method: str) -> None:
    """Bit by bit, although one of them started from others, and with batch norm that trains."""
    assert runs[2][method]["same"]


@pytest.mark.parametrize("method", ["ae-wtn", "faster-rcnn"])
def test_what_is_not_finite_in_one_process_changes_none(
    runs: dict[int, dict[str, Any]], method: str
) -> None:
    """NaN in the last process's images: no process takes the step."""
    assert runs[2][method]["refused"]


@pytest.mark.parametrize("method", ["ae-wtn", "zsd"])
def test_a_checkpoint_holds_what_all_have(runs: dict[int, dict[str, Any]], method: str) -> None:
    """Rounding is settled in the leader's favour; what is not rounding is refused by all.

    The detector of zsd has no classes that the classifier lacks, and so a weight without numbers.
    """
    settled = runs[2][method]["settled"]

    told = settled["errors"][0][1]
    assert settled["errors"] == [[None, told]] * 2
    assert told.startswith("roi_heads.bbox_pred.weight of process 1 is not the leader's")
    assert settled["same"]


@pytest.mark.parametrize("method", ["ae-wtn", "wtn+"])
def test_three_processes_go_on_to_the_bit(runs: dict[int, dict[str, Any]], method: str) -> None:
    """Gradients of three are added in an order, which is that of a run that never stopped."""
    assert runs[3][method]
