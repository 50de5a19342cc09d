"""Tests for pipelines.models.neighbors, on values computed by hand.

Three seen classes and two novel ones, in two dimensions: the seen ones point east (long), north
(short) and north-east; the novel ones nearly east (short), and north (long).
"""

import math
import statistics
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor

from pipelines.config import NeighborSettings
from pipelines.models.neighbors import RowSpace, neighbor_shares, similarities, visual_shares

SEEN = torch.tensor([[10.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
NOVEL = torch.tensor([[2.0, 0.5], [0.0, 4.0]])
ALL = torch.cat([NOVEL, SEEN])  # C = 5: the seen classes are rows 2, 3 and 4
SEEN_ROWS = torch.tensor([2, 3, 4])

COSINES = [
    [2 / math.hypot(2, 0.5), 0.5 / math.hypot(2, 0.5), 2.5 / math.hypot(2, 0.5) / math.sqrt(2)],
    [0.0, 1.0, 1 / math.sqrt(2)],
]
DISTANCES = [
    [math.hypot(8, 0.5), math.hypot(2, 0.5), math.hypot(1, 2.5)],
    [math.hypot(10, 4), 3.0, math.hypot(3, 1)],
]
MEAN, SPREAD = (3.0, 1.7), (math.sqrt(17.0), math.sqrt(11.8 / 4))  # of the five rows, N - 1
STANDARDIZED = [[(row[j] - MEAN[j]) / SPREAD[j] for j in range(2)] for row in ALL.tolist()]


def shares(**options: object) -> Tensor:
    """Return what the two novel classes borrow."""
    settings = NeighborSettings.model_validate(options)
    return neighbor_shares(NOVEL, SEEN_ROWS, ALL, settings)


def test_similarities_are_cosines_or_negative_distances() -> None:
    """The numbers are those of school geometry."""
    torch.testing.assert_close(similarities(NOVEL, SEEN, "cosine"), torch.tensor(COSINES))
    torch.testing.assert_close(similarities(NOVEL, SEEN, "l2"), -torch.tensor(DISTANCES))


def test_row_spaces() -> None:
    """Rows stay, or lose mean and spread over all classes, or become of length 1."""
    raw, standardized, unit = (
        RowSpace(name, ALL)(ALL) for name in ("raw", "standardized", "normalized")
    )

    assert torch.equal(raw, ALL)
    torch.testing.assert_close(standardized, torch.tensor(STANDARDIZED))
    torch.testing.assert_close(unit[0], torch.tensor([2.0, 0.5]) / math.hypot(2, 0.5))
    torch.testing.assert_close(unit.norm(dim=1), torch.ones(5))


@pytest.mark.parametrize(
    ("metric", "rows", "nearest"),
    [
        pytest.param("cosine", "raw", (0, 1), id="by angle: east, north"),
        pytest.param("cosine", "normalized", (0, 1), id="length does not change an angle"),
        pytest.param("l2", "normalized", (0, 1), id="chords are ordered as angles"),
        pytest.param("l2", "raw", (1, 1), id="2.06 < 2.69 < 8.02, and 3 < 3.16"),
        pytest.param("l2", "standardized", (1, 2), id="0.57 < 1.48, and 0.93 < 1.75"),
        pytest.param("cosine", "standardized", (1, 2), id="0.75 > 0.19, and 0.88 > -0.01"),
    ],
)
def test_the_nearest_seen_class(metric: str, rows: str, nearest: tuple[int, int]) -> None:
    """Which seen class is nearest depends on the metric and on the space of the rows."""
    expected = torch.eye(3)[list(nearest)]

    assert torch.equal(shares(metric=metric, rows=rows, count=1), expected)


def test_two_neighbours_lend_a_half_each() -> None:
    """With k = 2 the third seen class lends nothing."""
    expected = torch.tensor([[0.5, 0.0, 0.5], [0.0, 0.5, 0.5]])

    assert torch.equal(shares(count=2), expected)


def test_softmax_weighs_by_similarity() -> None:
    """Shares go by exp(cosine / temperature), in spreads, over the k nearest or over all."""
    spreads = [[0.5 * statistics.pstdev(row)] for row in COSINES]
    weights = torch.tensor(COSINES).div(torch.tensor(spreads)).exp()
    all_three = weights / weights.sum(dim=1, keepdim=True)
    weights[0, 1] = weights[1, 0] = 0
    two = weights / weights.sum(dim=1, keepdim=True)

    torch.testing.assert_close(shares(weights="softmax", temperature=0.5), all_three)
    torch.testing.assert_close(shares(weights="softmax", temperature=0.5, count=2), two)


@pytest.mark.parametrize("factor", [0.01, 100.0])
def test_softmax_ignores_the_scale_of_similarities(factor: float) -> None:
    """Distances in other units give the same shares: the temperature counts in their spread."""
    options = NeighborSettings(metric="l2", weights="softmax")

    scaled = neighbor_shares(factor * NOVEL, SEEN_ROWS, factor * ALL, options)

    torch.testing.assert_close(scaled, shares(metric="l2", weights="softmax"))
    assert scaled.std() > 0.1


@pytest.mark.real_data
def test_the_proxy_of_a_real_classifier_is_neither_one_class_nor_all(real_data: Path) -> None:
    """With 150 seen classes a median class borrows from 20 to 50 (1 / sum of squared shares)."""
    file = real_data / "classifiers" / "mobilenet_v2_imagenet1k.safetensors"
    rows = load_file(file)["classifier.1.weight"].float()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))
    novel, seen = rows[order[150:]], order[:150]

    found = neighbor_shares(novel, seen, rows, NeighborSettings(weights="softmax"))

    assert 20 < (1 / found.square().sum(dim=1)).median() < 50


def test_more_neighbours_than_seen_classes_are_all_of_them() -> None:
    """A k above S takes every seen class, each with its share of S."""
    assert torch.equal(shares(count=7), torch.full((2, 3), 1 / 3))
    assert torch.equal(shares(), shares(count=7))


def test_the_first_of_equal_rows_lends() -> None:
    """Where rows are equal, the class that comes first among the seen lends."""
    rows = ALL[[0, 1, 3, 3, 3]]

    found = neighbor_shares(NOVEL, SEEN_ROWS, rows, NeighborSettings(count=1))

    assert torch.equal(found, torch.tensor([[1.0, 0.0, 0.0]] * 2))


def test_a_row_of_zeros_borrows_finite_shares() -> None:
    """A row without a direction is as near to every class."""
    found = neighbor_shares(torch.zeros(1, 2), SEEN_ROWS, ALL, NeighborSettings(weights="softmax"))

    torch.testing.assert_close(found, torch.full((1, 3), 1 / 3))


@given(
    count=st.none() | st.integers(1, 5),
    metric=st.sampled_from(["cosine", "l2"]),
    rows=st.sampled_from(["raw", "standardized", "normalized"]),
    weights=st.sampled_from(["uniform", "softmax"]),
)
def test_shares_sum_to_one(count: int | None, metric: str, rows: str, weights: str) -> None:
    """Whatever the settings, a class borrows one row in all, from at most k classes."""
    found = shares(count=count, metric=metric, rows=rows, weights=weights)

    torch.testing.assert_close(found.sum(dim=1), torch.ones(2))
    assert (found >= 0).all()
    assert (found > 0).sum(dim=1).max() <= min(count or 3, 3)


def test_visual_shares_are_in_proportion() -> None:
    """A class takes by the probability that its images were given: of all, or of the k highest."""
    probabilities = torch.tensor([[0.1, 0.3, 0.2], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]])

    everything, two = visual_shares(probabilities, None), visual_shares(probabilities, 2)

    torch.testing.assert_close(everything[0], torch.tensor([1 / 6, 1 / 2, 1 / 3]))
    torch.testing.assert_close(two[0], torch.tensor([0.0, 0.6, 0.4]))
    assert torch.equal(everything[1], torch.tensor([0.0, 1.0, 0.0]))
    assert torch.equal(everything[2], torch.zeros(3))
