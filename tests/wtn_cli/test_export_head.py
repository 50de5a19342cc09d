"""Tests for wtn_cli.export_head: what it says of the file that it wrote."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_precision_and_size_are_told(wtn: Run, artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """For a reader, for a program, and by wtn inspect."""
    head = tmp_path / "head.safetensors"

    shown = wtn("export-head", artifacts.checkpoint, "-o", head, "--precision", "int8")
    told = wtn("export-head", artifacts.checkpoint, "-o", head, "--precision", "int8", "--json")
    inspected = wtn("inspect", head)

    assert "MB, rows in int8" in shown.stdout
    report = json.loads(told.stdout)
    assert (report["precision"], report["megabytes"]) == ("int8", head.stat().st_size / 1e6)
    assert "cls_score.scale [8]" in inspected.stdout
    assert "precision" in inspected.stdout


def test_a_compressed_head_predicts(
    wtn: Run, world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """A head in int8 goes where any head goes."""
    head = tmp_path / "head.safetensors"
    wtn("export-head", artifacts.checkpoint, "-o", head, "--precision", "int8")
    common = ("predict", world.images / "img1.png", "--checkpoint", artifacts.checkpoint)

    ran = wtn(*common, "--head", head, "--json")

    assert ran.returncode == 0, ran.stderr


def test_an_unknown_precision_is_a_usage_error(
    wtn: Run, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """The known ones are named."""
    head = tmp_path / "head.safetensors"

    ran = wtn("export-head", artifacts.checkpoint, "-o", head, "--precision", "int4")

    assert ran.returncode == 2
    assert "float16" in ran.stderr
    assert not head.exists()
