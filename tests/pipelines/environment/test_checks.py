"""Tests for pipelines.environment.checks: each thing that can be wrong is found, and named."""

import sys
from pathlib import Path

import pytest
import torch
import torchvision

from pipelines.environment import checks
from pipelines.environment.checks import run_checks
from pipelines.environment.packages import Requirement
from pipelines.environment.verdicts import Check


def _found(output: Path) -> dict[str, Check]:
    return {check.name: check for check in run_checks(output)}


def test_a_machine_that_can_train_passes(tmp_path: Path) -> None:
    """As this one, which runs the tests; nothing is written."""
    found = _found(tmp_path / "run")

    assert {check.verdict for check in found.values()} <= {"ok", "warning"}
    assert found["torch"].finding == torch.__version__
    assert found["nms"].verdict == found["images"].verdict == "ok"
    assert not list(tmp_path.iterdir())


def test_a_torch_that_cannot_be_imported_is_a_finding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checks that need it are left out, and the others are there."""
    monkeypatch.setitem(sys.modules, "torch", None)

    found = _found(tmp_path)

    assert found["torch"].verdict == "failed"
    assert "pip install" in str(found["torch"].mend)
    assert "nms" not in found
    assert found["output"].verdict in ("ok", "warning")


def test_a_broken_torchvision_is_told_without_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one built for another torch: the error is named, the path of a home folder is not."""

    def broken(name: str) -> object:
        if name == "torchvision":
            sys.modules.pop("torchvision", None)
            raise OSError("/home/alice/env/lib/libtorch.so: undefined symbol\nmore")
        return torch

    monkeypatch.setitem(sys.modules, "torchvision", torchvision)  # put back afterwards
    monkeypatch.setattr(checks, "import_module", broken)

    found = _found(tmp_path)["torchvision"]

    assert (found.verdict, found.finding) == ("failed", "OSError: libtorch.so: undefined symbol")


def test_versions_that_are_too_old_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch by its own check, other packages together; the command that mends it is told."""
    needed = [Requirement("torch", "99.0", None), Requirement("numpy", "99.1", None)]
    needed += [Requirement("no-such-package", None, None), Requirement("pillow", "1.0", None)]
    monkeypatch.setattr(checks, "requirements", lambda: needed)

    found = _found(tmp_path)

    assert found["torch"].finding == (
        f"{torch.__version__} is too old, 99.0 is the oldest that serves"
    )
    assert found["packages"].finding.endswith(", no-such-package missing")
    assert found["packages"].mend == 'Install: pip install "numpy>=99.1" "no-such-package"'
    assert [found[name].verdict for name in ("torch", "packages")] == ["failed", "failed"]


def test_low_limits_are_warnings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker's 64 MB of shared memory, 256 open files, and a disk that is nearly full."""
    monkeypatch.setattr(checks, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(checks, "free_bytes", lambda place: 64_000_000)
    monkeypatch.setattr(checks, "open_files", lambda: 256)

    found = _found(tmp_path)

    low = [found[name] for name in ("shared memory", "open files", "output")]
    assert [check.verdict for check in low] == ["warning"] * 3
    assert [check.finding for check in low] == ["0.1 GB free", "256 at most", "0.1 GB free"]
    assert "--shm-size" in str(low[0].mend)
    assert low[1].mend == "Allow more: ulimit -n 4096"


def test_an_output_below_a_file_fails(tmp_path: Path) -> None:
    """Nothing can be written there."""
    (tmp_path / "file").write_text("")

    found = _found(tmp_path / "file" / "run")["output"]

    assert (found.verdict, found.finding) == ("failed", "cannot be written")
