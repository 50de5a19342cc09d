"""Tests for ``wtn export``."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_export_tells_what_was_compared(
    wtn: Run, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """The result names the form, the classes, the size and the differences."""
    output = tmp_path / "out"
    ended = wtn(
        "export", artifacts.checkpoint, "--head", artifacts.head, "-f", "torchvision", "-o", output
    )

    assert ended.returncode == 0, ended.stderr
    lines = [line.split() for line in ended.stdout.splitlines()]
    assert ["scores", "differ", "by", "at", "most", "0"] in lines
    assert ["boxes", "differ", "by", "at", "most", "0", "pixels"] in lines
    assert any(line[:2] == ["classes", "8"] for line in lines)
    assert "write torchvision\n" in ended.stderr


def test_softmax_prints_its_deflation(wtn: Run, artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """With --approx-softmax the table of lowered scores follows, also in the JSON."""
    flags = ("export", artifacts.checkpoint, "-f", "torchvision", "--approx-softmax")
    shown = wtn(*flags, "-o", tmp_path / "a")
    told = wtn(*flags, "-o", tmp_path / "b", "--json")

    assert shown.returncode == 0, shown.stderr
    assert "What the softmax makes of the highest score of a RoI:" in shown.stdout
    report = json.loads(told.stdout)
    assert report["exactness"] == "approximate"
    assert report["agreement"]["compared"] == "RoIs"
    (row,) = report["agreement"]["deflation"]  # the tiny detector is sure of nothing
    assert (row["at_least"], row["below"], row["count"]) == (0.0, 0.05, 200)
    assert row["softmax"] < row["sigmoid"]


def test_list_formats_needs_nothing_else(wtn: Run) -> None:
    """--list-formats shows every form and how exact it is."""
    ended = wtn("export", "--list-formats")

    assert ended.returncode == 0
    for name in ("directory", "torchvision", "onnx", "pt2", "detectron2", "mmdetection", "detic"):
        assert f"│ {name} " in ended.stdout
    assert "approximate" in ended.stdout


@pytest.mark.parametrize(
    ("extra", "code", "message"),
    [
        (("-f", "tensorflow"), 2, "'tensorflow' is not one of"),
        (("-f", "onnx", "--approx-softmax"), 2, "onnx needs no approximation"),
        (("-f", "directory", "--images", "nowhere"), 3, "nowhere"),
        (("-f", "directory", "--head", "nowhere"), 3, "nowhere: no such file"),
    ],
)
def test_bad_input_is_one_message(
    extra: tuple[str, ...],
    code: int,
    message: str,
    wtn: Run,
    artifacts: SimpleNamespace,
    tmp_path: Path,
) -> None:
    """Each mistake has its message and exit code, and leaves no file."""
    ended = wtn("export", artifacts.checkpoint, *extra, "-o", tmp_path / "out")

    assert ended.returncode == code
    assert message in ended.stderr
    assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == []
