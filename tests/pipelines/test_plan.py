"""Tests for pipelines.plan."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ConfigError, RunError
from pipelines.plan import plan_training
from pipelines.train import train_detector
from pipelines.training.resuming import find_start

Tree = dict[str, Any]


@pytest.fixture
def settings(settings_tree: Tree, world: SimpleNamespace) -> TrainSettings:
    """Return the settings of three iterations, two evaluations, and a best checkpoint."""
    evaluation = {"every": 2, "boxes": world.boxes, "images": world.images}
    return validate_settings(
        settings_tree | {"evaluation": evaluation, "checkpoints": {"keep_best": "seen_AP50"}}
    )


def test_a_plan_has_the_numbers_of_the_training(settings: TrainSettings, tmp_path: Path) -> None:
    """Counted by hand, or measured on the training itself; and nothing is written."""
    plan = plan_training(settings, tmp_path / "runs" / "run")

    assert list(tmp_path.iterdir()) == []
    train_detector(settings, tmp_path / "run")
    encoder = 256 * 32 + 2 * 32 + (32 * 32 + 32)  # no bias before a GroupNorm
    decoder = 32 * 32 + 2 * 32 + (32 * 256 + 256)
    assert plan.parameters.transfer == encoder + decoder
    assert plan.parameters.transfer < plan.parameters.trained <= plan.parameters.total
    assert (plan.images, plan.boxes, plan.seen, plan.other, plan.novel) == (6, 12, 4, 1, 3)
    assert (plan.iterations, plan.batch_size, plan.passes) == (3, 2, 1.0)
    assert (plan.device, plan.processes, plan.precision) == ("cpu", 1, "float32")
    assert plan.evaluation is not None
    assert (plan.evaluation.times, plan.evaluation.images) == (2, 6)
    assert plan.evaluation.figures == ("seen_AP50", "other_AP50")
    speed, evaluation = plan.speed, plan.evaluation
    seconds = 3 * speed.seconds_per_iteration + 2 * evaluation.seconds
    assert plan.hours == pytest.approx(seconds / 3600)
    pair = tmp_path / "run" / "checkpoints" / "iteration-00000003"
    header = 60_000  # bytes at most, for names and settings
    for stated, file in (
        (plan.disk.checkpoint_bytes, pair.with_suffix(".safetensors")),
        (plan.disk.state_bytes, pair.with_suffix(".state.safetensors")),
    ):
        assert 0 <= file.stat().st_size - stated < header
    both = plan.disk.checkpoint_bytes + plan.disk.state_bytes
    assert plan.disk.needed_bytes == 3 * both + plan.disk.checkpoint_bytes


def test_a_plan_is_of_what_is_left(settings: TrainSettings, tmp_path: Path) -> None:
    """A run that goes on is planned from where it stands, and not a byte of it changes."""
    train_detector(settings, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    longer = settings.model_copy(
        update={"schedule": settings.schedule.model_copy(update={"iterations": 7})}
    )

    plan = plan_training(longer, tmp_path, saved=find_start("auto", tmp_path).saved)

    assert (plan.iterations, plan.evaluation.times) == (4, 3)  # at 4, 6 and 7
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    with pytest.raises(ConfigError, match="the folder holds a trained detector"):
        plan_training(settings, tmp_path)


def test_what_training_would_refuse_is_refused(settings_tree: Tree, tmp_path: Path) -> None:
    """Also what goes wrong in the first steps: here a loss beyond float32."""
    settings_tree["head"] |= {"alpha": 1e39}

    with pytest.raises(RunError, match="loss_reconstruction and loss are not finite at"):
        plan_training(validate_settings(settings_tree), tmp_path / "run")
