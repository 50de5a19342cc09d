"""Tests for pipelines.training.disk_use."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.config import validate_settings
from pipelines.training import disk_use as module
from pipelines.training.checkpoints import Pair, put
from pipelines.training.disk_use import disk_use

MODEL = SimpleNamespace(state_dict=lambda: {"weight": torch.zeros(6)})  # 24 bytes
OPTIMIZERS = SimpleNamespace(state=lambda: {"momentum": torch.zeros(4)})  # 16 bytes
TRAINEE: Any = SimpleNamespace(model=MODEL, optimizers=OPTIMIZERS)
CLASSIFIER: Any = SimpleNamespace(weight=torch.zeros(1, 2))  # 8 bytes
SETTINGS = validate_settings(
    {
        "classifier": "c",
        "data": {"boxes": "b"},
        "checkpoints": {"keep_last": 2, "keep_best": "AP50"},
        "evaluation": {"every": 1, "boxes": "v"},
    }
)


def test_what_is_there_gives_way(tmp_path: Path) -> None:
    """Three pairs and the best are needed; a pair is there, and the best is one of its files."""
    new = disk_use(TRAINEE, CLASSIFIER, SETTINGS, tmp_path)
    pair = Pair(tmp_path / "checkpoints", 5)
    pair.folder.mkdir()
    pair.checkpoint.write_bytes(bytes(32))
    pair.state.write_bytes(bytes(16))
    put(pair.checkpoint, tmp_path / "best.safetensors")

    assert (new.checkpoint_bytes, new.state_bytes) == (32, 16)
    assert new.needed_bytes == 3 * 48 + 32
    assert disk_use(TRAINEE, CLASSIFIER, SETTINGS, tmp_path).needed_bytes == 2 * 48 + 32


@pytest.mark.parametrize(("free", "fits"), [(None, True), (176, True), (175, False)])
def test_a_disk_fits_or_not(
    free: int | None, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is told of a disk whose room is not known."""
    monkeypatch.setattr(module, "free_bytes", lambda place: free)

    assert disk_use(TRAINEE, CLASSIFIER, SETTINGS, tmp_path).fits == fits
