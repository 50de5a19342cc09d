"""Tests for pipelines.training.tensorboard."""

import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import ConfigError
from pipelines.training.records import StepRecord, Timing
from pipelines.training.tensorboard import TensorBoardObserver


def _train(folder: Path, first: int, last: int, loss: float) -> None:
    """Let a run go from one iteration to another, with an evaluation at its end."""
    observer = TensorBoardObserver()
    observer.begun(folder, first)
    for iteration in range(first + 1, last + 1):
        timing = Timing(iteration, 1.0, 2.5, 0.25, 2_000_000_000, 3.0)
        observer.recorded(StepRecord(iteration, 10, {"loss": loss}, {"lr": 0.5}), timing)
    observer.evaluated(last, {"novel_AP50": loss / 8})


def _scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return what TensorBoard would show."""
    accumulator: Any = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator(str(folder / "tensorboard"))
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }


def test_every_figure_is_shown_over_the_iterations(tmp_path: Path) -> None:
    """In the groups losses, learning_rates, speed and evaluation."""
    pytest.importorskip("tensorboard")
    _train(tmp_path, 0, 2, loss=1.0)

    assert _scalars(tmp_path) == {
        "losses/loss": [(1, 1.0), (2, 1.0)],
        "learning_rates/lr": [(1, 0.5), (2, 0.5)],
        "speed/images_per_second": [(1, 2.5), (2, 2.5)],
        "speed/data_wait": [(1, 0.25), (2, 0.25)],
        "speed/memory_gigabytes": [(1, 2.0), (2, 2.0)],
        "evaluation/novel_AP50": [(2, 0.125)],
    }


def test_a_run_that_goes_on_has_no_point_twice(tmp_path: Path) -> None:
    """What was recorded after the checkpoint gives way to what comes in its place."""
    pytest.importorskip("tensorboard")
    _train(tmp_path, 0, 4, loss=1.0)
    _train(tmp_path, 2, 5, loss=2.0)

    found = _scalars(tmp_path)

    assert found["losses/loss"] == [(1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0)]
    assert found["evaluation/novel_AP50"] == [(5, 0.25)]


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tensorboard is missing, that is told before anything is trained."""
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)

    with pytest.raises(ConfigError, match="pip install tensorboard"):
        TensorBoardObserver()
