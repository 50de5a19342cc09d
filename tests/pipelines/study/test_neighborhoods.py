"""Tests for pipelines.study.neighborhoods."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.artifacts import ClassifierWeights, DetectionHead
from pipelines.study import neighborhoods
from pipelines.study.neighborhoods import NeighborOverlap, neighbor_overlap, overlap_of


def random_rows(num_classes: int, width: int, seed: int) -> torch.Tensor:
    """Return rows without ties."""
    return torch.randn(num_classes, width, generator=torch.Generator().manual_seed(seed))


def on_arc(*places: float) -> torch.Tensor:
    """Return rows of length 1, a tenth of a radian from one place to the next."""
    angles = torch.tensor(places) / 10
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_common_neighbours_are_counted_for_each_class_and_k() -> None:
    """On an arc the neighbours can be read off: classes 0 and 1 keep the nearest, all keep one.

    Before, the two nearest of the classes at 0, 1, 3 and 7 are 12, 02, 10 and 21; after, of those
    at 0, 1, 7 and 3, they are 13, 03, 31 and 10.
    """
    before, after = on_arc(0, 1, 3, 7), on_arc(0, 1, 7, 3)

    overlap = neighbor_overlap(before, after, neighbors=[1, 2])

    assert overlap.neighbors == (1, 2)
    assert overlap.counts.tolist() == [[1, 1], [1, 1], [0, 1], [0, 1]]
    assert overlap.mean.tolist() == [0.5, 1]


def test_near_means_a_small_angle() -> None:
    """A far row in nearly the same direction is the nearest; by distance it would not be."""
    before = torch.tensor([[1.0, 0.0], [9.0, 1.0], [1.0, 1.0]])

    overlap = neighbor_overlap(before, on_arc(0, 1, 5), neighbors=[1])

    assert overlap.counts[0] == 1  # class 1 is nearest to 0 in both


def test_equal_spaces_have_all_neighbours_in_common() -> None:
    """The overlap is k; at C - 1 neighbours it would be so for any rows, and that is left out."""
    rows = random_rows(30, 5, seed=0)

    overlap = neighbor_overlap(rows, rows, neighbors=[20, 3, 29, 200])

    assert overlap.neighbors == (3, 20)
    assert overlap.mean.tolist() == [3, 20]
    assert overlap.margin.tolist() == [0, 0]


def test_unrelated_spaces_overlap_by_chance() -> None:
    """The mean of unrelated rows is about ``k * k / (C - 1)``."""
    overlap = neighbor_overlap(random_rows(400, 40, 0), random_rows(400, 30, 1), neighbors=[20, 50])

    np.testing.assert_allclose(overlap.by_chance, [400 / 399, 2500 / 399])
    assert (abs(overlap.mean - overlap.by_chance) < 3 * overlap.margin).all()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether 50 classes are taken at once or 7 at a time, the counts are the same."""
    before, after = random_rows(50, 6, 0), random_rows(50, 4, 1)
    whole = neighbor_overlap(before, after)

    monkeypatch.setattr(neighborhoods, "_ELEMENTS_PER_CHUNK", 7 * 50)

    assert (neighbor_overlap(before, after).counts == whole.counts).all()


@given(seed=st.integers(0, 1000), exponents=st.lists(st.integers(-8, 8), min_size=12, max_size=12))
def test_lengths_of_rows_do_not_matter(seed: int, exponents: list[int]) -> None:
    """Scaling each row by a factor of its own leaves the overlap by cosine as it is."""
    before, after = random_rows(12, 5, seed), random_rows(12, 5, seed + 1)
    factors = torch.tensor(exponents).float().exp2()[:, None]  # exact in float32

    scaled = neighbor_overlap(before, after * factors, neighbors=[2, 4])

    expected = neighbor_overlap(before, after, neighbors=[2, 4])
    assert (scaled.counts == expected.counts).all()


@given(seed=st.integers(0, 1000), order=st.permutations(range(12)))
def test_the_order_of_classes_does_not_matter(seed: int, order: list[int]) -> None:
    """Permuting the classes permutes their counts."""
    before, after = random_rows(12, 5, seed), random_rows(12, 5, seed + 1)

    permuted = neighbor_overlap(before[order], after[order], neighbors=[2, 4])

    expected = neighbor_overlap(before, after, neighbors=[2, 4])
    assert (permuted.counts == expected.counts[order]).all()


def test_twenty_classes_are_sampled_as_in_the_paper() -> None:
    """Always the same of as many classes: their mean is a multiple of one twentieth."""
    counts = np.arange(100.0)[:, None]

    means = [NeighborOverlap((10,), counts).sampled_mean[0] for _ in range(2)]

    assert means[0] == means[1] != counts.mean()
    assert (means[0] * 20) % 1 == 0
    assert NeighborOverlap((10,), counts[:20]).sampled_mean[0] == 9.5


def test_the_interval_is_the_normal_one() -> None:
    """Of counts 0, 2, 4: the deviation is 2, so half the interval is 1.96 * 2 / sqrt(3)."""
    overlap = NeighborOverlap((5,), np.array([[0.0], [2], [4]]))

    assert overlap.margin[0] == pytest.approx(1.96 * 2 / 3**0.5)


def test_one_class_has_no_interval() -> None:
    """It has no neighbour either; JSON says null."""
    overlap = neighbor_overlap(torch.ones(1, 2), torch.ones(1, 3))

    assert overlap.counts.tolist() == [[0]]
    assert overlap.as_dict()["margin_95"] == [None]
    json.dumps(overlap.as_dict(), allow_nan=False)


def test_trainings_are_averaged_class_by_class() -> None:
    """The interval is that of the classes' means, not of twice as many classes."""
    first, second = (NeighborOverlap((5,), np.array(c)) for c in ([[1.0], [5]], [[3.0], [5]]))

    both = NeighborOverlap.mean_of([first, second])

    assert both.counts.tolist() == [[2], [5]]
    assert both.neighbors == (5,)


def test_a_checkpoint_is_compared_with_its_own_classifier(
    artifacts: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The overlap is that of the classifier's raw rows with the rows that export writes."""
    classifier = ClassifierWeights.load(artifacts.classifier)
    head = DetectionHead.load(Path(artifacts.head))
    exported = head.weight[head.vocabulary.rows(classifier.vocabulary.ids)]

    expected = neighbor_overlap(classifier.weight, exported, neighbors=[1, 3, 5])
    few = partial(neighbor_overlap, neighbors=[1, 3, 5])  # it has 7 classes
    monkeypatch.setattr(neighborhoods, "neighbor_overlap", few)

    overlap = overlap_of(artifacts.checkpoint)

    assert overlap.neighbors == (1, 3, 5)
    assert (overlap.counts == expected.counts).all()
