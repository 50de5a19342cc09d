"""Tests for wtn_cli.train and wtn_cli.processes under torchrun: two processes train as one."""

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

HERE = Path(__file__).parent
Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def losses_in(run: Path) -> list[dict[str, float]]:
    """Return the losses of each record."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["losses"] for line in lines]


@pytest.fixture
def options(settings_toml: Path) -> list[object]:
    """Return the options of a training of six steps that saves every other."""
    return ["train", "--config", settings_toml, "--iterations", 6,
            "--set", "schedule.checkpoint_every=2"]  # fmt: skip


def test_two_processes_end_as_one_and_go_on_when_one_is_killed(
    wtn: Wtn, torchrun: Wtn, options: list[object], tmp_path: Path
) -> None:
    """The leader alone prints and writes; a killed process is replaced, at the last checkpoint.

    Killed and restarted or not, all numbers are the same; those of one process to rounding.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert wtn(*options, "-o", tmp_path / "one").returncode == 0
    two = torchrun("--standalone", "-m", "wtn_cli", *options, "-o", tmp_path / "two", "--json")
    killed = torchrun("--master-port", port, "--max-restarts", "1", HERE / "die_once.py", *options,
                      "--resume", "auto", "-o", tmp_path / "killed")  # fmt: skip

    assert (two.returncode, killed.returncode) == (0, 0), two.stderr + killed.stderr
    assert json.loads(two.stdout)["iterations"] == 6
    assert two.stderr.count("train 6/6") == 1
    one, other = (losses_in(tmp_path / name) for name in ("one", "two"))
    for alone, shared in zip(one, other, strict=True):
        assert shared == pytest.approx(alone, rel=1e-5)
    first, second, third = (
        load_file(tmp_path / name / "checkpoint.safetensors") for name in ("one", "two", "killed")
    )
    torch.testing.assert_close(second, first, rtol=0, atol=1e-4)
    assert all(torch.equal(second[name], third[name]) for name in second)
    metrics = [(tmp_path / name / "metrics.jsonl").read_bytes() for name in ("two", "killed")]
    assert metrics[0] == metrics[1]


def test_the_process_that_failed_is_the_one_that_is_heard(
    torchrun: Wtn, options: list[object], world: SimpleNamespace, tmp_path: Path
) -> None:
    """An image that only the second process reads, in step 3: one message, also in the report.

    The leader, which only notices that the other has gone, says nothing; its checkpoint stays.
    """
    images = tmp_path / "images"
    images.mkdir()
    for image in world.images.iterdir():
        (images / image.name).write_bytes(image.read_bytes())
    (images / "img3.png").write_bytes(b"broken")

    ended = torchrun("--standalone", "-m", "wtn_cli", *options, "--images", images, "--seed", 4,
                     "--set", "data.group_by_aspect_ratio=false",
                     "-o", tmp_path / "run")  # fmt: skip

    message = "img3.png: the image does not decode"
    assert ended.returncode == 1
    assert [line for line in ended.stderr.splitlines() if line.startswith("Error: ")] == [
        f"Error: {images / message} (unknown format)"
    ]
    assert "checkpoint.safetensors holds 2 iterations" in ended.stderr
    report = ended.stderr.partition("Root Cause")[2]
    assert "rank      : 1 (local_rank: 1)" in report
    assert message in report
    assert "exitcode  : 3" in report


def test_what_all_processes_find_is_told_once(
    torchrun: Wtn, options: list[object], tmp_path: Path
) -> None:
    """A missing file is the leader's to tell, and nothing is written."""
    ended = torchrun("--standalone", "-m", "wtn_cli", *options, "--boxes", tmp_path / "none.csv",
                     "-o", tmp_path / "run")  # fmt: skip

    assert ended.returncode == 1
    assert ended.stderr.count(f"Error: {tmp_path / 'none.csv'}: no such file\n") == 1
    assert not (tmp_path / "run").exists()
