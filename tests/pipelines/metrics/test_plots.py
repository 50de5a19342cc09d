"""Tests for pipelines.metrics.plots."""

from pathlib import Path

import numpy as np
from PIL import Image

from pipelines.metrics.average_precision import precision_recall
from pipelines.metrics.plots import (
    plot_average_precision_by_frequency,
    plot_precision_recall,
    plot_scores,
)
from pipelines.metrics.score_counts import ScoreCounts


def _colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}


def test_each_class_has_a_curve_of_its_own_colour(tmp_path: Path) -> None:
    """Two classes draw the first two colours of the cycle, one class draws only the first."""
    curve = precision_recall(np.array([0.9, 0.5]), np.array([1.0, 0.0]), 2.0)

    plot_precision_recall({"Cat": curve, "Dog": curve}, tmp_path / "two.png")
    plot_precision_recall({"Cat": curve}, tmp_path / "one.png")

    orange = (255, 127, 14)
    assert orange in _colours(tmp_path / "two.png")
    assert orange not in _colours(tmp_path / "one.png")


def test_classes_without_boxes_are_left_out(tmp_path: Path) -> None:
    """A logarithmic axis has no place for them; the others keep the colour of their group."""
    path = tmp_path / "frequency.png"

    plot_average_precision_by_frequency(
        np.array([0.0, 10.0, 100.0]), np.array([np.nan, 0.2, 0.9]), ["seen", "novel", "novel"], path
    )

    colours = _colours(path)
    assert any(red - blue > 100 for red, _, blue in colours)  # novel
    assert not any(blue - red > 100 for red, _, blue in colours)  # seen


def test_a_class_without_detections_stands_in_the_key_only(tmp_path: Path) -> None:
    """It has boxes and no curve; the next class keeps the next colour."""
    empty = precision_recall(np.empty(0), np.empty(0), 2.0)
    curve = precision_recall(np.array([0.9, 0.5]), np.array([1.0, 0.0]), 2.0)

    plot_precision_recall({"Cat": empty, "Dog": curve}, tmp_path / "curves.png")

    assert (255, 127, 14) in _colours(tmp_path / "curves.png")


def test_pictures_without_any_class_have_no_key(tmp_path: Path) -> None:
    """Nothing is drawn in the axes, and matplotlib has nothing to warn of."""
    none = np.zeros(1)

    plot_precision_recall({}, tmp_path / "curves.png")
    plot_average_precision_by_frequency(none, none, ["seen"], tmp_path / "frequency.png")

    for name in ("curves", "frequency"):
        assert all(max(c) - min(c) == 0 for c in _colours(tmp_path / f"{name}.png"))


def test_scores_may_be_missing(tmp_path: Path) -> None:
    """A detector that is never right has a picture too."""
    counts = ScoreCounts()
    counts.wrong[[5, 10]] = 1

    plot_scores(counts, tmp_path / "scores.png")

    assert (214, 39, 40) in _colours(tmp_path / "scores.png")
