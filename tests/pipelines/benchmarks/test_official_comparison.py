"""Tests for pipelines.benchmarks.official_comparison."""

import math
from pathlib import Path

import pytest

from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.official_comparison import compare, evaluate_files, largest_difference
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.synthetic_detections import write_drawn_files
from pipelines.config import Metric
from pipelines.data.annotations import BoxTable


@pytest.mark.parametrize("metric", ["oid", "aewtn-release"])
@pytest.mark.usefixtures("same_process")
def test_both_are_held_against_each_other(
    metric: Metric, drawn_truth: BoxTable, tmp_path: Path
) -> None:
    """Ratios are official over ours, from files and from arrays; figures are compared."""
    drawn = write_drawn_files(tmp_path, drawn_truth, "640x480", 5, images=30)

    def official(files: EvaluationFiles) -> OfficialResult:
        figures = evaluate_files(metric, files)
        first = next(name for name, figure in figures.items() if figure == figure)
        return OfficialResult("wtn", 8.0, 6.0, 1, 0.5, {**figures, first: figures[first] + 0.25})

    found = compare(metric, drawn, official, runs=3, warm_up=drawn.files)

    assert (found.images, found.detections) == (30, 150)
    assert found.ratio == 8.0 / found.our_seconds
    assert found.scoring_ratio == 6.0 / found.our_scoring_seconds
    assert found.our_scoring_seconds > 0
    assert found.max_difference == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("official", "ours", "difference"),
    [
        ({"a": 0.5, "b": 0.25}, {"a": 0.5, "b": 0.75}, 0.5),
        ({"a": 0.5, "b": math.nan}, {"a": 0.5, "b": math.nan}, 0.0),
        ({"a": 0.5, "b": math.nan}, {"a": 0.5}, 0.0),
        ({"a": 0.5, "b": 0.0}, {"a": 0.5, "b": math.nan}, math.inf),
        ({"a": 0.5, "b": 0.0}, {"a": 0.5}, math.inf),
        ({"a": math.nan}, {"a": math.nan}, 0.0),
    ],
)
def test_a_figure_on_one_side_only_is_no_agreement(
    official: dict[str, float], ours: dict[str, float], difference: float
) -> None:
    """Classes that neither has a figure for do not count; a missing figure does."""
    assert largest_difference(official, ours) == difference
