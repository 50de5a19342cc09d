"""Tests for pipelines.study.shapes_presets."""

from pathlib import Path

import pytest

from pipelines.config import validate_settings
from pipelines.study.shapes import ShapesSource
from pipelines.study.shapes_presets import PAPER, SMALL, ShapesPreset


@pytest.mark.parametrize(("preset", "classes"), [(SMALL, 960), (PAPER, 5160)])
def test_a_preset_trains_every_method(preset: ShapesPreset, classes: int, tmp_path: Path) -> None:
    """Its settings are valid, and boxes have as many features as the classifier (LSDA)."""
    source = ShapesSource(preset.iterations, preset.sizes, preset)

    settings = validate_settings(source.world(tmp_path).settings)

    assert source.cost.classes == classes
    assert settings.backbone.name == preset.network
    assert settings.detector.roi_width == preset.width
    assert settings.detector.min_size == preset.sizes.scene_size
    assert settings.schedule.iterations == preset.iterations


def test_presets_share_no_folder() -> None:
    """Both can be studied in one output."""
    assert SMALL.name != PAPER.name
