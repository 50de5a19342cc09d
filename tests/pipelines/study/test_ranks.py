"""Tests for pipelines.study.ranks."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.study.ranks import spearman


def test_rank_correlation_of_ties() -> None:
    """Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4 correlate by sqrt(0.9)."""
    assert spearman([1, 5, 5, 9], [10, 20, 30, 40]) == pytest.approx(0.9**0.5)


def test_rank_correlation_by_the_textbook() -> None:
    """With squared rank differences 1, 1, 1, 1, 0 of five rows, it is ``1 - 6 * 4 / (5 * 24)``."""
    assert spearman([2, 1, 4, 3, 5], [1, 2, 3, 4, 5]) == pytest.approx(0.8)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [3.0, 3.0, 3.0]])
def test_too_little_to_rank_has_no_correlation(values: list[float]) -> None:
    """Two rows would agree or disagree by chance, and equal ones have no order."""
    assert spearman(values, [float(place) for place in range(len(values))]) is None


@given(st.lists(st.integers(-99, 99), min_size=3, unique=True), st.randoms())
def test_only_the_order_counts(values: list[int], random: Random) -> None:
    """Any increasing map of one side leaves the correlation; reversing one side negates it."""
    other = random.sample(values, len(values))

    found = spearman(values, other)

    assert found is not None
    assert spearman([v**3 + v for v in values], other) == pytest.approx(found)
    assert spearman([-v for v in values], other) == pytest.approx(-found)
