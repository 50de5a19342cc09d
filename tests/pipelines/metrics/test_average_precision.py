"""Tests for pipelines.metrics.average_precision."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.metrics.average_precision import average_precision, precision_recall


def test_precision_and_recall_follow_the_descending_scores() -> None:
    """After each detection they say how many were right, of those taken and of those to find."""
    curve = precision_recall(np.array([0.1, 0.9, 0.5]), np.array([1.0, 1.0, 0.0]), 4)

    assert curve.precision.tolist() == [1, 1 / 2, 2 / 3]
    assert curve.recall.tolist() == [1 / 4, 1 / 4, 2 / 4]


def test_a_weighted_detection_counts_with_its_weight_and_is_not_wrong() -> None:
    """Credit between 0 and 1 adds to the true positives and nothing to the false ones."""
    curve = precision_recall(np.array([0.9, 0.5]), np.array([0.25, 0.0]), 1)

    assert curve.precision.tolist() == [1, 0.25 / 1.25]
    assert curve.recall.tolist() == [0.25, 0.25]


@pytest.mark.parametrize(
    ("credit", "num_ground_truth", "expected"),
    [
        ([], 3, 0.0),
        ([1], 1, 1.0),
        ([1], 2, 0.5),
        ([0, 1], 1, 0.5),
        ([1, 0, 1], 2, 0.5 + 0.5 * 2 / 3),
        ([0, 1, 1], 2, 2 / 3),  # the better precision to the right counts
        ([0, 0], 2, 0.0),
    ],
)
def test_average_precision_is_the_area_under_the_envelope(
    credit: list[float], num_ground_truth: int, expected: float
) -> None:
    """Every point counts, with the best precision at its recall or a higher one."""
    score = -np.arange(len(credit), dtype=np.float64)

    curve = precision_recall(score, np.array(credit, np.float64), num_ground_truth)

    assert average_precision(curve) == pytest.approx(expected, abs=1e-15)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 10))
def test_average_precision_never_leaves_the_unit_interval(found: list[bool], missed: int) -> None:
    """It lies between 0 and the final recall."""
    credit = np.array(found, np.float64)
    num_ground_truth = int(credit.sum()) + missed + 1

    curve = precision_recall(-np.arange(len(found), dtype=np.float64), credit, num_ground_truth)

    assert 0 <= average_precision(curve) <= curve.recall[-1] + 1e-12
