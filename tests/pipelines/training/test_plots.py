"""Tests for pipelines.training.plots."""

import math
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.training.history import Evaluation, History
from pipelines.training.plots import draw_evaluations, draw_history, draw_losses, smoothed
from pipelines.training.records import StepRecord

LOSSES = ("loss_classifier", "loss_box_reg", "loss_objectness", "loss")
RECORDS = tuple(
    StepRecord(i, 40, dict.fromkeys(LOSSES, 5.0 / i), {"lr": 0.1 / i, "lr_transfer": 0.01})
    for i in range(1, 41)
)
EVALUATIONS = tuple(Evaluation(i, {"seen_AP50": i / 50, "novel_AP50": 0.2}) for i in (20, 40))
BLUE = (0x1F, 0x5F, 0xD0)  # of seen classes


def _colours(path: Path) -> set[tuple[int, ...]]:
    with Image.open(path) as image:
        return {colour for _, colour in image.convert("RGB").getcolors(1 << 24) or ()}


def test_a_run_has_three_pictures(tmp_path: Path) -> None:
    """Of losses, rates and evaluations, each with colours in it."""
    drawn = draw_history(History(RECORDS, EVALUATIONS, ()), tmp_path)

    assert [path.name for path in drawn] == ["losses.png", "learning-rates.png", "evaluation.png"]
    for path in drawn:
        assert any(max(colour) - min(colour) > 100 for colour in _colours(path))


def test_what_there_is_not_is_not_drawn(tmp_path: Path) -> None:
    """Without evaluations there is no picture of any, and without records there is none at all."""
    drawn = draw_history(History(RECORDS[:1], (), ()), tmp_path)

    assert [path.name for path in drawn] == ["losses.png", "learning-rates.png"]
    assert draw_history(History((), (), ()), tmp_path) == []


def test_a_single_record_is_seen(tmp_path: Path) -> None:
    """A line through one point is none, so the point is marked, at a whole number."""
    draw_losses(History(RECORDS[:1], (), ()), tmp_path / "losses.png")

    assert any(max(colour) - min(colour) > 100 for colour in _colours(tmp_path / "losses.png"))


def test_a_window_without_losses_is_a_gap(tmp_path: Path) -> None:
    """Every step of it was left out; the picture is drawn nevertheless."""
    gap = StepRecord(41, 60, {}, {"lr": 0.1})

    draw_losses(History((*RECORDS, gap, *RECORDS[:2]), (), ()), tmp_path / "losses.png")

    assert (tmp_path / "losses.png").exists()


def test_groups_have_their_colours(tmp_path: Path) -> None:
    """Those that they have in all pictures: seen classes are blue."""
    seen, other = History((), EVALUATIONS, ()), History((), (Evaluation(1, {"AP": 0.5}),), ())
    draw_evaluations(seen, tmp_path / "seen.png")
    draw_evaluations(other, tmp_path / "other.png")

    assert BLUE in _colours(tmp_path / "seen.png")
    assert BLUE not in _colours(tmp_path / "other.png")


def test_a_smoothed_curve_is_the_mean_around_each_point() -> None:
    """Of 80 values two to either side count, fewer at the ends, and none that is not a number."""
    values = np.zeros(80)
    values[[0, 40]], values[42] = 5.0, math.nan

    found = smoothed(values)

    assert found[0] == 5.0
    np.testing.assert_allclose(found[1:3], [5 / 3, 1.0])
    np.testing.assert_allclose(found[37:43], [0, 1, 1, 1.25, 1.25, 1.25])
    assert not found[43:].any()


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=90))
def test_smoothing_stays_among_the_values(values: list[float]) -> None:
    """No mean is above the highest or below the lowest of them."""
    found = smoothed(np.array(values))

    assert found.min() >= min(values) - 1e-9
    assert found.max() <= max(values) + 1e-9
