"""Tests for wtn_cli.extract_weights."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Return word vectors and, beside them, a class list of which they know a part."""
    (tmp_path / "words.txt").write_text("cat 1 2 3\ndog 3 2 1\n")
    names = ["Cat", "Dog", "Wild dog", *(f"Xyzzy {number}" for number in range(10))]
    lines = [f"/m/{row},{name}" for row, name in enumerate(names)]
    (tmp_path / "classes.csv").write_text("\n".join(["LabelName,DisplayName", *lines]))
    return tmp_path / "words.txt"


def test_word_vectors_tell_what_they_lack(wtn: Wtn, words: Path, tmp_path: Path) -> None:
    """The table counts what was dropped and left out, and shows the first few of each."""
    options = ("--classes", tmp_path / "classes.csv", "-o", tmp_path / "rows.safetensors")
    result = wtn("extract-weights", words, *options, "--missing", "skip")
    shown = " ".join(result.stdout.split())
    assert result.returncode == 0
    assert "classes K 3" in shown
    assert "dropped words 12: Wild, Xyzzy, 0, 1, 2, 3, 4, 5, ..." in shown
    assert "left out 10: /m/3, /m/4" in shown
    assert "equal rows 1: /m/1 = /m/2" in shown
    assert "composed" not in shown
    assert "rows the mean word vector of each name, of length 1" in shown
    assert not any(word in shown for word in ("candidate", "orientation", "PyTorch", "passed over"))


def test_json_lists_what_word_vectors_lack(wtn: Wtn, words: Path, tmp_path: Path) -> None:
    """The JSON has all of them; for other sources the entry is null."""
    options = ("--classes", tmp_path / "classes.csv", "-o", tmp_path / "rows.safetensors")
    result = wtn("extract-weights", words, *options, "--missing", "skip", "--json")
    report = json.loads(result.stdout)
    lookup = report["lookup"]
    assert (report["orientation"], report["candidates"]) == ("one row for each name", [])
    assert len(lookup["without_vector"]) == 10
    assert lookup["composed"] == []
    assert lookup["equal_rows"] == [["/m/1", "/m/2"]]


def test_missing_classes_are_an_error(wtn: Wtn, words: Path, tmp_path: Path) -> None:
    """Unless it is asked for, no class is left out, and nothing is written."""
    output = tmp_path / "rows.safetensors"
    result = wtn("extract-weights", words, "--classes", tmp_path / "classes.csv", "-o", output)
    assert result.returncode == 4
    assert "10 of 13 classes" in result.stderr
    assert "--missing skip" in result.stderr
    assert not output.exists()
