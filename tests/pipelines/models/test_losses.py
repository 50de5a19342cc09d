"""Tests for pipelines.models.losses."""

import csv
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from pipelines.models.losses import (
    LabelTables,
    box_loss,
    classification_loss,
    image_weights,
    label_tables,
    margin_loss,
)
from pipelines.vocabulary import ClassHierarchy, Vocabulary

TREE = {
    "LabelName": "root",
    "Subcategory": [
        {"LabelName": "vehicle", "Subcategory": [{"LabelName": "car"}, {"LabelName": "bus"}]},
        {"LabelName": "toy", "Subcategory": [{"LabelName": "car"}]},
    ],
}
IDS = ("car", "vehicle", "bus", "toy")


def test_tables_expand_upwards_and_ignore_downwards() -> None:
    """A class asks for itself and its ancestors, and says nothing of its descendants."""
    tables = label_tables(Vocabulary(IDS, IDS), ClassHierarchy.from_tree(TREE))

    assert tables.targets.tolist() == [
        [0, 0, 0, 0],
        [1, 1, 0, 1],
        [0, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 0, 0, 1],
    ]
    assert tables.weights.tolist() == [
        [1, 1, 1, 1],
        [1, 1, 1, 1],
        [0, 1, 0, 1],
        [1, 1, 1, 1],
        [0, 1, 1, 1],
    ]
    assert tables.positives.tolist() == [1, 3, 1, 2, 1]


def test_loss_equals_the_sum_written_out() -> None:
    """Twice the mean over RoIs of the entropy of judged classes over the positives."""
    tables = label_tables(Vocabulary(IDS, IDS), ClassHierarchy.from_tree(TREE))
    logits = torch.randn(3, 4)
    labels = torch.tensor([1, 0, 2])

    loss = classification_loss(logits, labels, tables)

    positive, negative = F.softplus(-logits), F.softplus(logits)
    car = (positive[0, 0] + positive[0, 1] + negative[0, 2] + positive[0, 3]) / 3
    background = negative[1].sum()
    vehicle = positive[2, 1] + negative[2, 3]
    torch.testing.assert_close(loss, 2 * (car + background + vehicle) / 3)


def test_images_count_alike() -> None:
    """The RoIs of an image share its weight, an image without any has none, and the sum is 1."""
    labels = [torch.zeros(4), torch.zeros(1)]

    assert image_weights(labels).tolist() == [0.125] * 4 + [0.5]
    assert image_weights([torch.zeros(0), torch.zeros(2)]).tolist() == [0.25, 0.25]


def test_box_loss_counts_all_rois_but_sums_foreground() -> None:
    """Smooth L1 with beta 1 over the foreground's deltas, divided by all sampled RoIs."""
    deltas = torch.tensor([[0.5, 0, 0, 0], [9.0, 9, 9, 9], [3.0, 0, 0, 0]])
    labels = torch.tensor([1, 0, 2])
    loss = box_loss(deltas, labels, torch.zeros(3, 4), image_weights([labels]))

    assert loss.item() == pytest.approx((0.5 * 0.25 + 2.5) / 3)


def test_box_loss_without_foreground_is_zero() -> None:
    """A batch of background alone gives a loss of 0 that still has a gradient."""
    deltas = torch.ones(2, 4, requires_grad=True)
    labels = torch.zeros(2, dtype=torch.int64)
    loss = box_loss(deltas, labels, torch.zeros(2, 4), image_weights([labels]))

    loss.backward()

    assert loss.item() == 0
    assert deltas.grad is not None


@pytest.mark.real_data
@pytest.mark.parametrize(("official", "positives"), [(True, 2), (False, 4)])
def test_tank_under_both_hierarchies(real_data: Path, positives: int, *, official: bool) -> None:
    """Tank is a weapon, a vehicle and a land vehicle; the released tables know only the first."""
    folder = real_data / "open-images"
    with (folder / "challenge-2018-class-descriptions-new.csv").open() as file:
        classes = {row["ln"]: row["desc"] for row in csv.DictReader(file)}
    vocabulary = Vocabulary(tuple(classes), tuple(classes.values()))
    tree = folder / "bbox_labels_600_hierarchy.json"
    hierarchy = ClassHierarchy.from_json(tree, vocabulary.ids, official=official)

    tables = label_tables(vocabulary, hierarchy)

    label = vocabulary.names.index("Tank") + 1
    named = {vocabulary.names[row] for row in tables.targets[label].nonzero().flatten().tolist()}
    everything = {"Tank", "Weapon", "Vehicle", "Land vehicle"}
    assert tables.positives[label] == positives
    assert named == ({"Tank", "Weapon"} if official else everything)


def test_the_margin_loss_by_hand() -> None:
    """Ancestors are positive, descendants are not judged, background competes and is competed with.

    Classes A above B, and C; margin 1. A RoI of B: A and B against C and background, hinges 0.9,
    0.8, 0.6, 0.5. One of A: against C and background, 0.9, 0.8. Background: 0, 1.5, 0.5.
    """
    tables = LabelTables(
        targets=torch.tensor([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]]),
        weights=torch.tensor([[1.0, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1]]),
        positives=torch.tensor([1.0, 1, 2, 1]),
    )
    relative = torch.tensor([[0.2, 0.5, 0.1], [0.2, 0.9, 0.1], [-2.0, 0.5, -0.5]])

    loss = margin_loss(relative, torch.tensor([2, 1, 0]), tables, 1.0)

    assert math.isclose(loss.item(), (0.7 + 0.85 + 2 / 3) / 3, rel_tol=1e-6)


def test_a_margin_that_all_keep_costs_nothing() -> None:
    """The hinge is 0 once every positive leads by the margin."""
    tables = LabelTables(torch.tensor([[0.0], [1.0]]), torch.ones(2, 1), torch.ones(2))

    assert margin_loss(torch.tensor([[0.5]]), torch.tensor([1]), tables, 0.5) == 0
    assert margin_loss(torch.tensor([[-0.5]]), torch.tensor([0]), tables, 0.5) == 0
