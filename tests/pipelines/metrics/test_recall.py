"""Tests for pipelines.metrics.recall. Boxes are in pixels of a 1000 x 1000 image."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pipelines.data.image_sizes import ImageSizes
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.recall import RecallAt
from pipelines.metrics.release import ReleaseRules
from pipelines.metrics.rules import Rules

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py
World = Any  # what it builds

A, B = (0, 0, 100, 100), (500, 500, 700, 700)
OID, RELEASE = OpenImagesRules(), ReleaseRules(ImageSizes.uniform(1000, 1000).of)


def _recall(world: World, k: int, class_ids: Sequence[str], rules: Rules = OID) -> RecallAt:
    (recall,) = world.evaluate(rules, class_ids, Protocol(recall_at=(k,))).recalls
    assert recall.k == k
    return recall


@pytest.mark.parametrize("rules", [OID, RELEASE])
def test_the_release_leaves_out_a_class_without_detections(tables: Build, rules: Rules) -> None:
    """Of two classes with one box each and one of them found, it reports 1 where 1/2 is found."""
    world = tables([("i", "c", A, False), ("i", "d", B, False)], [("i", "c", A, 0.9)])

    summary = _recall(world, 100, ["c", "d"], rules).of(["c", "d"])

    assert (summary.macro_released, summary.macro_strict, summary.micro) == (1.0, 0.5, 0.5)


def test_macro_means_classes_and_micro_boxes(tables: Build) -> None:
    """One of three boxes of a class, and the one of another: 2/3 by class, 2/4 by box."""
    boxes = [(image, "c", A, False) for image in "ijk"] + [("i", "d", B, False)]
    world = tables(boxes, [("i", "c", A, 0.9), ("j", "c", B, 0.9), ("i", "d", B, 0.1)])

    recall = _recall(world, 100, ["c", "d"])

    assert recall.of(["c", "d"]).macro_strict == pytest.approx(2 / 3, abs=1e-15)
    assert recall.of(["c", "d"]).micro == 2 / 4
    assert recall.of(["c"]).micro == 1 / 3


def test_all_classes_share_the_places_of_an_image(tables: Build) -> None:
    """Of an image's k best detections, those of another class take places too."""
    boxes = [("i", "c", A, False), ("i", "d", B, False), ("j", "c", A, False)]
    found = [("i", "c", A, 0.3), ("i", "d", A, 0.9), ("i", "d", B, 0.8), ("j", "c", A, 0.1)]
    world = tables(boxes, found)

    by_k = {k: _recall(world, k, ["c", "d"]).of(["c", "d"]) for k in (1, 2, 3)}

    assert {k: summary.micro for k, summary in by_k.items()} == {1: 1 / 3, 2: 2 / 3, 3: 1}
    assert {k: summary.macro_strict for k, summary in by_k.items()} == {1: 1 / 4, 2: 3 / 4, 3: 1}
    assert by_k[1].macro_released == 1 / 4  # both classes have a detection, one of them a wrong one


def test_a_detection_that_nobody_verified_takes_a_place(tables: Build) -> None:
    """It can be neither right nor wrong, but it is among the best of its image."""
    boxes, labels = [("i", "c", A, False)], [("i", "c", True)]
    world = tables(boxes, [("i", "d", A, 0.9), ("i", "c", A, 0.5)], labels)

    assert _recall(world, 1, ["c", "d"]).of(["c"]).micro == 0
    assert _recall(world, 2, ["c", "d"]).of(["c"]).micro == 1


def test_a_box_is_found_once(tables: Build) -> None:
    """A second detection of a box finds nothing, and one of another class never does."""
    world = tables(
        [("i", "c", A, False), ("i", "c", B, False)],
        [("i", "c", A, 0.9), ("i", "c", A, 0.8), ("i", "d", B, 0.7)],
    )

    assert _recall(world, 100, ["c", "d"]).of(["c", "d"]).micro == 1 / 2


def test_images_that_the_release_leaves_out_count_as_missed(tables: Build) -> None:
    """Its own mean forgets the boxes of an image without detections; the strict one does not."""
    world = tables([("i", "c", A, False), ("j", "c", A, False)], [("i", "c", A, 0.9)])

    summary = _recall(world, 100, ["c"], RELEASE).of(["c"])

    assert (summary.macro_released, summary.macro_strict, summary.micro) == (1.0, 0.5, 0.5)


def test_with_nothing_to_find_there_is_no_figure(tables: Build) -> None:
    """Classes without boxes have no recall."""
    world = tables([("i", "c", A, False)], [("i", "d", A, 0.9)])

    summary = _recall(world, 100, ["c", "d"]).of(["d"])

    assert all(map(math.isnan, (summary.macro_released, summary.macro_strict, summary.micro)))
