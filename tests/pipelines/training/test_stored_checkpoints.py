"""Tests for pipelines.training.stored_checkpoints."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.training.stored_checkpoints import StoredCheckpoint, stored_checkpoints

PAIR = "checkpoints/iteration-00000003"


@pytest.fixture
def run(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of a run, with no file that is a link to another."""
    return Path(shutil.copytree(artifacts.run, tmp_path / "run"))


def _found(run: Path) -> dict[str, StoredCheckpoint]:
    return {found.file: found for found in stored_checkpoints(run)}


def test_whole_checkpoints_have_no_fault(run: Path) -> None:
    """Neither the pair that the run goes on from, nor the newest, nor the best."""
    shutil.copy(run / "checkpoint.safetensors", run / "best.safetensors")

    assert _found(run) == {
        name: StoredCheckpoint(name, 3, None)
        for name in (f"{PAIR}.safetensors", "checkpoint.safetensors", "best.safetensors")
    }


@pytest.mark.parametrize("suffix", [".safetensors", ".state.safetensors"])
def test_a_file_that_is_cut_short_is_a_fault(run: Path, suffix: str) -> None:
    """Of the weights or of their state; the file is named, and the others stay whole."""
    path = run / f"{PAIR}{suffix}"
    path.write_bytes(path.read_bytes()[:-1])

    found = _found(run)

    assert f"{path}: not a complete safetensors file" in str(found[f"{PAIR}.safetensors"].fault)
    assert found["checkpoint.safetensors"].fault is None


def test_weights_of_another_state_are_a_fault(run: Path) -> None:
    """One changed byte is enough."""
    path = run / f"{PAIR}.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)

    fault = _found(run)[f"{PAIR}.safetensors"].fault

    assert fault == "it is not what its state was saved with"


def test_a_newest_checkpoint_that_is_cut_short_has_no_iteration(run: Path) -> None:
    """Its fault is told."""
    path = run / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:100])

    found = _found(run)["checkpoint.safetensors"]

    assert found.iteration is None
    assert "not a complete safetensors file" in str(found.fault)
