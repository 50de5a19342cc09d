"""Tests for wtn_cli.dry_runs: what ``wtn train --dry-run`` prints."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import pipelines.plan
from pipelines.training.plan import DiskUse, Parameters, PlannedEvaluation, Speed, TrainingPlan

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]

PLAN = TrainingPlan(
    device="cuda:0 (NVIDIA H100)",
    processes=8,
    precision="bfloat16",
    parameters=Parameters(total=71_000_000, trained=60_000_000, transfer=12_600_000),
    images=1_743_042,
    boxes=12_195_144,
    seen=400,
    other=100,
    novel=4600,
    iterations=180_000,
    batch_size=8,
    passes=0.826,
    speed=Speed(8, 0.5, 16.0, 0.034, 12_345_678_901, 8.1234567),
    hours=51.6,
    disk=DiskUse(300_000_000, 500_000_000, 2_700_000_000, 1_000_000_000),
    evaluation=PlannedEvaluation(18, 2000, ("seen_AP50", "novel_AP50"), 61.4),
)


def test_a_plan_is_a_screen(wtn: Wtn, settings_toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In lines that fit a terminal; that the disk has no room is said below."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(pipelines.plan, "plan_training", lambda *given, **named: PLAN)

    ended = wtn("train", "--config", settings_toml, "--dry-run")

    assert ended.returncode == 0, ended.stderr
    assert [line.rstrip() for line in ended.stdout.splitlines()] == [
        "dry run: 8 steps on cuda:0 (NVIDIA H100), 8 processes, bfloat16; nothing was",
        "written",
        "parameters      71,000,000, of which 60,000,000 train; 12,600,000 are of the",
        "                transfer network",
        "classes         400 seen, 100 other, 4600 novel",
        "data            1,743,042 images, 12,195,144 boxes",
        "loss            8.1235 at first",
        "memory          12.35 GB at most, of one process",
        "speed           0.500 s an iteration, 16.0 images/s",
        "waits for data  3% of the time",
        "to do           180,000 iterations of 8 images, 0.8 passes over the data",
        "time            2 days, 4 hours",
        "disk            2.70 GB for checkpoints, 0.80 GB each time; 1.00 GB are free",
        "no hard links   0.30 GB more, on such a disk",
        "evaluation      18 times on 2,000 images, about 61 s each: seen_AP50, novel_AP50",
    ]
    assert ended.stderr == (
        "The disk has no room for the checkpoints: 2.70 GB are needed, 1.00 GB are free. "
        "Make room, or lower checkpoints.keep_last.\n"
    )


@pytest.mark.parametrize(
    ("hours", "shown"),
    [(0.001, "1 min"), (0.4, "24 min"), (5.24, "5.2 hours"), (72.0, "3 days, 0 hours")],
)
def test_a_time_is_told_in_the_unit_that_fits(
    wtn: Wtn, settings_toml: Path, monkeypatch: pytest.MonkeyPatch, hours: float, shown: str
) -> None:
    """And what is not there is said to be none."""
    plan = replace(PLAN, hours=hours, processes=1, evaluation=None)
    monkeypatch.setattr(pipelines.plan, "plan_training", lambda *given, **named: plan)

    ended = wtn("train", "--config", settings_toml, "--dry-run")

    lines = [line.split(maxsplit=1) for line in ended.stdout.splitlines()]
    facts = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    assert (facts["time"], facts["evaluation"]) == (shown, "none (evaluation.every)")
    assert "processes" not in ended.stdout


def test_a_dry_run_as_json_is_one_object(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """With every figure as a number, of a training that nothing is written of."""
    before = set(tmp_path.rglob("*"))

    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--dry-run", "--json")

    plan = json.loads(ended.stdout)
    assert plan["speed"]["seconds_per_iteration"] > 0
    assert plan["disk"]["free_bytes"] > plan["disk"]["needed_bytes"] > 0
    assert plan["hours"] > 0
    assert plan["evaluation"] is None
    assert set(tmp_path.rglob("*")) == before


def test_a_dry_run_ends_as_the_training_would(
    wtn: Wtn, settings_toml: Path, tmp_path: Path
) -> None:
    """A missing file is exit code 3, and a folder with a run in it is exit code 2."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoint.safetensors").write_text("")
    run = ("train", "--config", settings_toml, "--dry-run", "-o")

    missing = wtn(*run, tmp_path / "other", "--boxes", tmp_path / "none.csv")
    taken = wtn(*run, tmp_path / "run")

    assert (missing.returncode, taken.returncode) == (3, 2)
    assert "none.csv: no such file" in missing.stderr
