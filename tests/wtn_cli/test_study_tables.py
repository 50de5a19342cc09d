"""Tests for wtn_cli.study_tables: what a plan says on the terminal."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


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
                "ae-wtn", "--dry-run").stdout  # fmt: skip

    assert "80.2 h, one training after the other (on one GPU, 4 times the paper's Table 4" in shown
