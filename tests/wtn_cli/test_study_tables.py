"""Tests for wtn_cli.study_tables: what a plan says on the terminal."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def set_processors(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let there be so many processors."""
    for module in ("costs", "workers"):
        monkeypatch.setattr(f"pipelines.study.{module}.available_cpus", lambda: number)


@pytest.mark.parametrize(("study", "evaluates"), [("table2", True), ("table3", False)])
def test_a_plan_tells_of_evaluation_where_there_is_any(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, study: str, evaluates: bool
) -> None:
    """Table 3 looks at activations alone: it scores no image and writes no head."""
    monkeypatch.setenv("COLUMNS", "1000")

    shown = wtn("study", study, "--dry-run", "-o", tmp_path).stdout

    assert ("the evaluation of each row on 800 images comes on top" in shown) == evaluates
    assert ("checkpoints and heads" in shown) == evaluates


def test_the_hours_of_one_gpu_are_told_as_such(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are four times the paper's already, so nobody multiplies them again."""
    monkeypatch.setenv("COLUMNS", "1000")

    shown = wtn("study", "table1", "--world", "open-images", "--data", tmp_path, "--methods",
                "ae-wtn", "--dry-run", "-o", tmp_path).stdout  # fmt: skip

    assert "80.2 h, one training after the other (on one GPU, 4 times the paper's Table 4" in shown


def test_a_plan_names_rows_as_methods_does(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training is a line, with all rows that are measured on it."""
    monkeypatch.setenv("COLUMNS", "1000")

    shown = wtn("study", "table1", "--dry-run", "-o", tmp_path).stdout

    assert " lsda, lsda-visual-weights, lsda-visual-images " in shown
    assert " faster-rcnn-nn " in shown


@pytest.mark.parametrize("jobs", [1, 4])
def test_a_plan_tells_what_its_jobs_take_together(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    """Each has its own memory, and they share the hours."""
    monkeypatch.setenv("COLUMNS", "1000")
    set_processors(monkeypatch, 4)
    flags = ("--jobs", jobs, "--device", "cpu", "--dry-run", "-o", tmp_path)

    shown = wtn("study", "table2", "--seeds", 3, *flags).stdout

    assert "0.7 h, one training after the other" in shown
    assert ("or at least 0.2 h with 4 side by side (" in shown) == (jobs == 4)
    assert ("1.1 GB a training, 4.4 GB with 4 side by side (" in shown) == (jobs == 4)
    assert ("side by side" in shown) == (jobs > 1)


@pytest.mark.parametrize("cpus", [1, 3])
def test_a_processor_takes_a_training_by_default(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    """So a plan without --jobs reckons with those of its machine."""
    monkeypatch.setenv("COLUMNS", "1000")
    set_processors(monkeypatch, cpus)
    flags = ("--device", "cpu", "--dry-run", "-o", tmp_path)

    shown = wtn("study", "table2", "--seeds", 3, *flags).stdout

    assert ("3.3 GB with 3 side by side (" in shown) == (cpus == 3)
    assert ("side by side" in shown) == (cpus == 3)


def test_hours_of_a_gpu_are_not_divided_by_processors(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a device that is not on this machine an error: the study may run on another."""
    monkeypatch.setenv("COLUMNS", "1000")
    plan = ("study", "table1", "--world", "open-images", "--data", tmp_path, "--dry-run", "-o",
            tmp_path)  # fmt: skip

    on_cpu = wtn(*plan, "--device", "cpu", "--jobs", 4)
    elsewhere = wtn(*plan, "--device", "cuda:98", "--device", "cuda:99")

    assert (on_cpu.returncode, elsewhere.returncode) == (0, 0)
    assert " h with 4 side by side" not in on_cpu.stdout
    assert " h with 2 side by side (on one GPU" in elsewhere.stdout
    assert "missing: device 'cuda:99' cannot be used here (" in elsewhere.stdout


def test_trainings_that_share_a_gpu_need_the_memory_of_all(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long they take together is not known, so no hours are told of it."""
    monkeypatch.setenv("COLUMNS", "1000")
    flags = ("--size", "paper", "--device", "cuda", "--jobs", 4, "--dry-run", "-o", tmp_path)

    shown = wtn("study", "table1", *flags).stdout

    (hours,) = (line for line in shown.splitlines() if line.lstrip().startswith("time"))
    (memory,) = (line for line in shown.splitlines() if line.lstrip().startswith("memory"))
    assert "side by side" not in hours
    assert " GB with 4 side by side (of the GPU, " in memory
