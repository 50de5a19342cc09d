"""Tests for pipelines.metrics.evaluation. Boxes are in pixels of a 1000 x 1000 image."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.image_sizes import ImageSizes
from pipelines.data.predictions import PredictionTable
from pipelines.metrics import spool
from pipelines.metrics.evaluation import ClassCounts, Protocol, evaluate_blocks
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.release import ReleaseRules
from pipelines.metrics.rules import Rules

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py

A, B, FAR = (0, 0, 100, 100), (500, 500, 700, 700), (800, 0, 900, 100)
OID, RELEASE = OpenImagesRules(), ReleaseRules(ImageSizes.uniform(1000, 1000).of)
BOXES = [("i", "seen", A, False), ("i", "novel", B, False), ("j", "novel", B, False)]

scores = st.sampled_from([0.1, 0.5, 0.9])
rows_of_detections = st.lists(
    st.tuples(st.sampled_from("ijk"), st.sampled_from(["seen", "novel"]),
              st.sampled_from([A, B, FAR]), scores), max_size=30,
)  # fmt: skip


def _in_blocks(table: PredictionTable, size: int) -> list[PredictionTable]:
    """Cut a table into blocks whose ids are their own and in another order."""
    return [
        replace(
            table,
            class_ids=table.class_ids[::-1],
            image=table.image[start : start + size],
            label=len(table.class_ids) - 1 - table.label[start : start + size],
            score=table.score[start : start + size],
            boxes=table.boxes[start : start + size],
        )
        for start in range(0, len(table), size)
    ]


@settings(deadline=None)
@given(rows_of_detections, st.integers(1, 9), st.sampled_from([OID, RELEASE]))
def test_blocks_of_any_size_give_the_same_figures(
    tables: Build, found: Rows, size: int, rules: Rules
) -> None:
    """Neither the blocks of the stream nor those on disk can be seen in the result."""
    world = tables(BOXES, found)
    protocol = Protocol(2, joint=True, recall_at=(1, 3), bootstrap=2)
    whole = world.evaluate(rules, ["novel", "seen"], protocol, ["novel", "seen"])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool, "_ROWS_PER_BLOCK", size)
        parts = evaluate_blocks(
            rules,
            world.annotations,
            _in_blocks(world.predictions, size),
            ["novel", "seen"],
            protocol,
            ["novel", "seen"],
        )

    assert repr(parts) == repr(whole)


def test_joint_classes_compete_for_the_places_of_an_image(tables: Build) -> None:
    """With one place, a seen detection takes that of a novel one; alone, both have their own."""
    world = tables(BOXES, [("i", "seen", A, 0.9), ("i", "novel", B, 0.8), ("j", "novel", B, 0.7)])
    groups = ["seen", "novel"]

    result = world.evaluate(OID, groups, Protocol(1, joint=True), groups)

    assert result.metrics.average_precision == {"seen": 1.0, "novel": 0.5}
    assert result.alone.average_precision == {"seen": 1.0, "novel": 1.0}


@given(rows_of_detections)
@settings(deadline=None)
@pytest.mark.parametrize("rules", [OID, RELEASE])
def test_alone_is_an_evaluation_of_the_group_alone(
    tables: Build, rules: Rules, found: Rows
) -> None:
    """Each group has the figures that it has when no other class is evaluated."""
    world = tables(BOXES, found)
    groups = ["seen", "novel"]

    alone = world.evaluate(rules, groups, Protocol(2, joint=True), groups).alone

    for group in groups:
        expected = world.evaluate(rules, [group], Protocol(2)).metrics
        np.testing.assert_equal(alone.average_precision[group], expected.average_precision[group])
        np.testing.assert_equal(alone.recall[group], expected.recall[group])


@given(rows_of_detections)
@settings(deadline=None)
def test_places_enough_change_nothing(tables: Build, found: Rows) -> None:
    """A limit that no image reaches gives every figure to the last bit."""
    world = tables(BOXES, found)

    limited, unlimited = (
        world.evaluate(OID, ["seen", "novel"], Protocol(limit)).metrics for limit in (30, None)
    )

    assert repr(limited) == repr(unlimited)


def test_annotations_are_counted(tables: Build) -> None:
    """By class: images, boxes, and how many of them are groups."""
    boxes = [("i", "c", A, False), ("i", "c", B, True), ("j", "c", A, False), ("j", "d", A, True)]

    counts = tables(boxes, []).evaluate(RELEASE, ["d", "c", "none"], Protocol()).counts

    assert counts == {
        "d": ClassCounts(images=1, boxes=1, group_of=1),
        "c": ClassCounts(images=2, boxes=3, group_of=1),
        "none": ClassCounts(images=0, boxes=0, group_of=0),
    }


def test_judgements_are_kept_on_request(tables: Build) -> None:
    """They hold what curves need; without the request nothing is held."""
    world = tables(BOXES, [("i", "novel", B, 0.8), ("i", "novel", A, 0.9)])

    kept = world.evaluate(OID, ["novel", "seen"], Protocol(plotted=("novel",))).judgements

    assert list(kept) == ["novel"]
    novel = kept["novel"]
    assert (novel.score.tolist(), novel.credit.tolist()) == ([0.9, 0.8], [0.0, 1.0])
    assert (novel.image.tolist(), novel.num_ground_truth) == ([0, 0], 2)
    plain = world.evaluate(OID, ["novel"], Protocol())
    assert (plain.judgements, plain.scores) == ({}, None)


def test_scores_of_all_classes_are_counted(tables: Build) -> None:
    """Right and wrong ones apart, in bins of 0.02; what is beyond 1 goes to the last bin."""
    world = tables(BOXES, [("i", "novel", B, 0.81), ("i", "novel", A, 7.0)])

    scores = world.evaluate(OID, ["novel", "seen"], Protocol(plotted=())).scores

    assert scores.right.nonzero()[0].tolist() == [40]
    assert scores.wrong.nonzero()[0].tolist() == [49]
