"""Tests for wtn_cli.evaluate and the evaluation in wtn_cli.train under torchrun."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Compute as the processes of torchrun do, to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread")
def test_two_processes_print_and_write_what_one_does(
    wtn: Wtn, torchrun: Wtn, artifacts: SimpleNamespace, world: SimpleNamespace, large_boxes: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Byte by byte, and once, though one has four images and the other two."""
    options = ("evaluate", "--checkpoint", artifacts.checkpoint, "--images", world.images,
               "--boxes", large_boxes, "--joint", "--recall-at", 3, "--bootstrap", 5,
               "--json")  # fmt: skip
    files = [(tmp_path / f"{name}.csv", tmp_path / f"{name}-ap.csv") for name in ("one", "two")]
    outputs = [("--save-predictions", saved, "--per-class", table) for saved, table in files]

    one = wtn(*options, *outputs[0])
    two = torchrun("--standalone", "-m", "wtn_cli", *options, *outputs[1])

    assert (one.returncode, two.returncode) == (0, 0), two.stderr
    assert two.stdout == one.stdout
    assert json.loads(two.stdout)["detections"]["judged"] > 0
    assert two.stderr.count("detect 6/6") == 1
    for first, second in zip(*files, strict=True):
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.usefixtures("_one_thread")
def test_a_training_of_two_processes_evaluates_as_one_process_would(
    wtn: Wtn, torchrun: Wtn, settings_toml: Path, world: SimpleNamespace, large_boxes: Path,
    tmp_path: Path,
) -> None:  # fmt: skip
    """The figures in its metrics are those of its checkpoint, and the best is kept by them."""
    ended = torchrun(
        "--standalone", "-m", "wtn_cli", "train", "--config", settings_toml, "-o", tmp_path / "run",
        "--set", "detector.anchor_sizes=[32, 36, 40, 44, 48]", "--set", "evaluation.every=3",
        "--set", f"evaluation.boxes={large_boxes}", "--set", f"evaluation.images={world.images}",
        "--set", "checkpoints.keep_best=novel_AP50",
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    (found,) = [json.loads(line) for line in lines if "evaluation" in line]
    report = wtn("evaluate", "--checkpoint", tmp_path / "run" / "best.safetensors", "--images",
                 world.images, "--boxes", large_boxes, "--joint", "--json")  # fmt: skip
    joint = json.loads(report.stdout)["joint"]
    expected = {f"{group}_AP50": joint[group]["AP50"]["alone"] for group in ("seen", "novel")}
    assert found == {"iteration": 3, "evaluation": expected}
    assert expected["novel_AP50"] > 0
