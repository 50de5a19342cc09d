"""Tests for wtn_cli.training_progress."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.training.plan import DiskUse
from pipelines.training.records import StepRecord, Timing
from wtn_cli import console
from wtn_cli.training_progress import TrainingProgress

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

LOSSES = {
    "loss_classifier": 1.5, "loss_box_reg": 0.25, "loss_reconstruction": 4.5,
    "loss_objectness": 0.125, "loss_rpn_box_reg": 0.0625, "loss": 6.4375,
}  # fmt: skip
RATES = {"lr": 0.01, "lr_transfer": 0.001}
RECORD = StepRecord(20, 400, LOSSES, RATES)
TIMING = Timing(20, 3.2, 12.5, 0.25, 1_100_000_000, seconds_left=3725.4)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_terminal_shows_every_figure(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """However narrow it is, no loss, rate, speed or time is cut."""
    shown = io.StringIO()
    monkeypatch.setattr(
        console, "err", lambda: Console(file=shown, force_terminal=True, width=width)
    )

    with console.progress("train") as bar:
        TrainingProgress(bar).recorded(RECORD, TIMING)

    text = shown.getvalue()
    assert "…" not in text
    assert "20/400" in text
    assert "eta 1:02:05" in text
    for name, value in LOSSES.items():
        assert f"{name.removeprefix('loss_')} {value:.4f}" in text
    for part in ("lr_transfer 1.00e-03", "12.5 images/s", "data wait 25 %", "memory 1.1 GB"):
        assert part in text


def test_a_pipe_gets_one_plain_line_a_record(capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no terminal, a record is one line on stderr without control codes."""
    with console.progress("train") as bar:
        TrainingProgress(bar).recorded(RECORD, TIMING)

    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "train 20/400 eta 1:02:05 loss 6.4375 classifier 1.5000 box_reg 0.2500 "
        "reconstruction 4.5000 objectness 0.1250 rpn_box_reg 0.0625 lr 1.00e-02 "
        "lr_transfer 1.00e-03 12.5 images/s data wait 25 % memory 1.1 GB\n"
    )


def test_what_was_left_out_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    """Steps and images, as soon as there are any."""
    with console.progress("train") as bar:
        TrainingProgress(bar).recorded(StepRecord(20, 400, {}, RATES, 2, 3), TIMING)

    assert "memory 1.1 GB steps left out 2 images left out 3\n" in capsys.readouterr().err


def test_an_evaluation_is_a_line_in_percent(capsys: pytest.CaptureFixture[str]) -> None:
    """With the iterations before it."""
    with console.progress("train") as bar:
        TrainingProgress(bar).evaluated(400, {"seen_AP50": 0.5, "novel_AP50": 0.12345})

    assert capsys.readouterr().err == "evaluated after 400: seen AP50 50.00, novel AP50 12.35\n"


def test_a_run_folder_is_complete(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """A training on the command line leaves everything that tells of it."""
    assert wtn("train", "--config", settings_toml, "-o", tmp_path / "run").returncode == 0

    assert {path.name for path in (tmp_path / "run").iterdir()} - {".lock"} == {
        "settings.toml", "metrics.jsonl", "timings.jsonl", "checkpoints", "checkpoint.safetensors",
        "environment.json", "losses.png", "learning-rates.png", "model-card.md",
    }  # fmt: skip


def test_tensorboard_is_written_into_the_run(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """On demand."""
    pytest.importorskip("tensorboard")

    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--tensorboard")

    assert ended.returncode == 0
    assert list((tmp_path / "run" / "tensorboard").glob("events.*"))


def test_tensorboard_that_is_missing_is_told_before_training(
    wtn: Wtn, settings_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a usage error, and nothing is written."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--tensorboard")

    assert ended.returncode == 2
    assert "Install it: pip install tensorboard" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("free", "told"), [(None, ""), (3_000_000_000, ""), (2_000_000_000, (
    "The disk has no room for the checkpoints: 3.00 GB are needed, 2.00 GB are free. Make room, or "
    "lower checkpoints.keep_last.\n"
))])  # fmt: skip
def test_a_disk_without_room_is_told(
    free: int | None, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Once the run has begun; it goes on, for others may make room."""
    with console.progress("train") as bar:
        TrainingProgress(bar).reckoned(DiskUse(1, 1, 3_000_000_000, free))

    assert capsys.readouterr().err == told
