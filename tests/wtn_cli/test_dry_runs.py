"""Tests for wtn_cli.dry_runs: what ``wtn train --dry-run`` prints."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_dry_run_tells_what_a_training_would_take(
    wtn: Wtn, settings_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In lines that fit a terminal, and without writing anything."""
    monkeypatch.setenv("COLUMNS", "80")
    before = set(tmp_path.rglob("*"))

    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--dry-run",
                "--set", "schedule.iterations=100000")  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert set(tmp_path.rglob("*")) == before
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    for shown in ("nothing was written", "4 seen, 1 other, 3 novel", "s an iteration", "images/s",
                  "GB at most", "18,848 are of the transfer", "100,000 iterations of 2 images",
                  "33,333.3 passes", "are free", "none (evaluation.every)"):  # fmt: skip
        assert shown in " ".join(" ".join(lines).split()), shown


def test_a_dry_run_as_json_is_one_object(wtn: Wtn, settings_toml: Path, tmp_path: Path) -> None:
    """With every figure as a number."""
    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--dry-run", "--json")

    plan = json.loads(ended.stdout)
    assert plan["speed"]["seconds_per_iteration"] > 0
    assert plan["disk"]["free_bytes"] > plan["disk"]["needed_bytes"] > 0
    assert plan["hours"] > 0
    assert plan["evaluation"] is None


def test_a_disk_without_room_is_told(
    wtn: Wtn, settings_toml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The training itself would end at its first checkpoint."""
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    ended = wtn("train", "--config", settings_toml, "-o", tmp_path / "run", "--dry-run")

    assert "no room for the checkpoints" in ended.stderr


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
