"""Tests for wtn_cli.doctor."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipelines.environment import packages

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_machine_that_can_train_exits_with_0(wtn: Wtn, tmp_path: Path) -> None:
    """Versions and every check are on stdout, and nothing on stderr."""
    ended = wtn("doctor", "-o", tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert torch.__version__ in ended.stdout
    assert "non-maximum suppression works" in ended.stdout
    assert ended.stdout.endswith("Training can run.\n")


def test_a_broken_torch_exits_with_1(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told with what to do, and there is no traceback."""
    monkeypatch.setitem(sys.modules, "torch", None)

    ended = wtn("doctor", "-o", tmp_path)

    assert (ended.returncode, ended.stderr) == (1, "")
    assert "torch: Install it: pip install" in ended.stdout
    assert ended.stdout.endswith("Training cannot run.\n")


def test_json_is_the_report_alone(wtn: Wtn, tmp_path: Path) -> None:
    """With every check and its verdict."""
    found = json.loads(wtn("doctor", "-o", tmp_path, "--json").stdout)

    assert found["torch"]["torch"] == torch.__version__
    assert {"name", "verdict", "finding", "mend"} == found["checks"][0].keys()


def test_a_missing_extra_tells_how_to_install_it(
    wtn: Wtn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the packages that it lacks."""
    monkeypatch.setattr(packages, "requires", lambda name: ["no-such-thing; extra == 'plots'"])

    assert "extra plots  missing: pip install no-such-thing" in wtn("doctor", "-o", tmp_path).stdout


def test_safetensors_is_not_needed_to_report_that_it_is_missing(tmp_path: Path) -> None:
    """Nor are numpy and Pillow: whatever is broken, the report comes."""
    program = (
        "import sys\n"
        "for name in ('safetensors', 'numpy', 'PIL', 'torch'): sys.modules[name] = None\n"
        f"from wtn_cli.app import main; main(['doctor', '-o', {str(tmp_path)!r}])"
    )

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert (ended.returncode, ended.stderr) == (1, "")
    assert "images" in ended.stdout
