"""Tests for wtn_cli.runs: tables for people, JSON for programs, one line for what is no run."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(autouse=True)
def _width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def run(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of a finished run, with evaluations."""
    folder = Path(shutil.copytree(artifacts.run, tmp_path / "runs" / "a"))
    with (folder / "metrics.jsonl").open("a") as file:
        for iteration, value in ((2, 0.5), (3, 0.25)):
            record = {"iteration": iteration, "evaluation": {"novel_AP50": value}}
            file.write(json.dumps(record) + "\n")
    return folder


@pytest.fixture
def other(run: Path) -> Path:
    """Return a copy of it, with another seed and of more iterations."""
    folder = Path(shutil.copytree(run, run.parent / "b"))
    text = (folder / "settings.toml").read_text()
    text = text.replace("seed = 0", "seed = 7").replace("iterations = 3", "iterations = 5")
    (folder / "settings.toml").write_text(text)
    (folder / ".lock").unlink()  # as in earlier versions
    return folder


def test_a_list_has_a_line_for_each_run(wtn: Wtn, run: Path, other: Path) -> None:
    """With what is best so far; no line is wider than the terminal."""
    ended = wtn("runs", "list", run.parent)

    assert (ended.returncode, ended.stderr) == (0, "")
    lines = ended.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    first, second = (line.split() for line in lines[-2:])
    assert first[:4] == ["a", "ae-wtn", "3/3", "finished"]
    assert second[:4] == ["b", "ae-wtn", "3/5", "running?"]
    assert first[5] == "50.00"


def test_damaged_runs_and_other_folders_get_one_line(wtn: Wtn, run: Path, other: Path) -> None:
    """In a list beside the others; by themselves they are errors of bad files or settings."""
    (other / "metrics.jsonl").write_text('{"iteration": 1}\n')

    listed, shown = wtn("runs", "list", run.parent), wtn("runs", "show", other)
    foreign = wtn("runs", "show", run.parent)

    assert listed.returncode == 0
    assert f"b is damaged: {other / 'metrics.jsonl'}:1: bad value for" in listed.stdout
    assert (shown.returncode, foreign.returncode) == (3, 3)
    assert shown.stderr.startswith(f"Error: {other / 'metrics.jsonl'}:1: ")
    assert foreign.stderr.startswith(f"Error: {run.parent}: not a run folder")


def test_one_run_is_shown_in_full(wtn: Wtn, run: Path, other: Path) -> None:
    """Losses, settings, evaluations and checkpoints; an unfinished one tells how it goes on."""
    finished, unfinished = wtn("runs", "show", run), wtn("runs", "show", other)

    assert finished.returncode == 0
    for text in (
        "loss_reconstruction", "schedule.batch_size", "best novel_AP50: 50.00, after 2 iterations",
        "checkpoints/iteration-00000003.safetensors",
    ):  # fmt: skip
        assert text in finished.stdout
    assert "--resume" not in finished.stdout
    assert "Go on, once it has stopped, with: wtn train --resume" in unfinished.stdout


def test_a_run_without_a_whole_pair_does_not_go_on(wtn: Wtn, other: Path) -> None:
    """It says so, and whether there ever was a checkpoint."""
    (other / "checkpoints" / "iteration-00000003.state.safetensors").unlink()
    damaged = wtn("runs", "show", other)
    shutil.rmtree(other / "checkpoints")
    (other / "checkpoint.safetensors").unlink()
    new = wtn("runs", "show", other)

    assert "--resume" not in damaged.stdout + new.stdout
    assert "No whole checkpoint is left, so there is nothing to go on from." in damaged.stdout
    assert "No checkpoint was written yet, so there is nothing to go on from." in new.stdout


def test_pictures_are_drawn_on_demand(wtn: Wtn, run: Path) -> None:
    """Their files are told."""
    ended = wtn("runs", "show", run, "--plots")

    assert f"drawn: {run / 'evaluation.png'}" in ended.stdout
    assert (run / "evaluation.png").exists()


def test_runs_are_compared_by_what_differs(wtn: Wtn, run: Path, other: Path) -> None:
    """One column each; what is the same is not there."""
    ended = wtn("runs", "compare", run, other)

    assert ended.returncode == 0
    rows = {line.split("│")[1].strip(): line for line in ended.stdout.splitlines() if "│" in line}
    assert [cell.strip() for cell in rows["seed"].split("│")[2:4]] == ["0", "7"]
    assert "schedule.iterations" in rows
    assert "head.method" not in rows
    assert "novel AP50" in rows


def test_a_comparison_needs_two(wtn: Wtn, run: Path) -> None:
    """One is a usage error."""
    ended = wtn("runs", "compare", run)

    assert ended.returncode == 2
    assert "one run compares with nothing" in ended.stderr


@pytest.mark.parametrize("command", ["list", "show", "compare"])
def test_json_is_alone_on_stdout(wtn: Wtn, run: Path, other: Path, command: str) -> None:
    """One object, with the runs by their folders."""
    places = {"list": [run.parent], "show": [run], "compare": [run, other]}

    found = json.loads(wtn("runs", command, *places[command], "--json").stdout)

    summaries = found["runs"] if command != "show" else [found["summary"]]
    assert str(run) in [summary["folder"] for summary in summaries]
