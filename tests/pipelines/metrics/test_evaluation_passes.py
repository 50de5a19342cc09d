"""Tests for pipelines.metrics.evaluation_passes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipelines.data.annotations import Annotations
from pipelines.errors import MismatchError
from pipelines.metrics.evaluation_passes import plan_passes
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(tuple("abcdef"), tuple("ABCDEF"))
GROUPS = ("novel", "seen", "novel", "seen", "novel", "other")
BOX = (0, 0, 500, 500)

Tables = Callable[..., Any]


def annotations(tables: Tables, *classes: str) -> Annotations:
    """Return an image with a box of each class."""
    found: Annotations = tables([("image", each, BOX, False) for each in classes], []).annotations
    return found


def test_groups_with_boxes_share_a_pass_and_have_places_of_their_own(tables: Tables) -> None:
    """A group is whole, though only one of its classes has a box; one without boxes is left out."""
    (only,) = plan_passes(CLASSES, GROUPS, annotations(tables, "c", "b"), "oid")

    assert only.rows == [0, 1, 2, 3, 4]
    assert only.classes.vocabulary.ids == tuple("abcde")
    assert only.scoring.protocol.joint
    assert only.names == ("seen_AP50", "novel_AP50")


def test_a_single_group_does_not_compete(tables: Tables) -> None:
    """There is nobody to compete with, so it is judged as wtn evaluate --classes does."""
    (only,) = plan_passes(CLASSES, GROUPS, annotations(tables, "a"), "aewtn-release")

    assert (only.rows, only.names) == ([0, 2, 4], ("novel_AP50",))
    assert not only.scoring.protocol.joint


def test_coco_takes_a_pass_for_each_group(tables: Tables) -> None:
    """It judges no group alone among others, and has a figure more."""
    passes = plan_passes(CLASSES, GROUPS, annotations(tables, "f", "a"), "coco")

    assert [each.rows for each in passes] == [[0, 2, 4], [5]]
    assert [each.names for each in passes] == [
        ("novel_AP50", "novel_AP"), ("other_AP50", "other_AP"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("boxed", "names"),
    [("ac", ("novel_AP50", "novel_ancestors_AP50", "novel_others_AP50")),
     ("a", ("novel_AP50", "novel_ancestors_AP50"))],
)  # fmt: skip
def test_a_hierarchy_tells_ancestors_from_other_novel_classes(
    tables: Tables, boxed: str, names: tuple[str, ...]
) -> None:
    """Each part has a figure if it has boxes: here a stands above the seen class b."""
    tree = {"LabelName": "0", "Subcategory": [{"LabelName": "a", "Subcategory": [
        {"LabelName": "b"}]}, {"LabelName": "c"}]}  # fmt: skip

    (only,) = plan_passes(
        CLASSES, GROUPS, replace(annotations(tables, *boxed), hierarchy=tree), "oid"
    )

    assert only.names == names


def test_boxes_of_strangers_are_refused(tables: Tables) -> None:
    """Nothing could be measured."""
    with pytest.raises(MismatchError, match=r"none of the 2 classes .* of the detector: 'x'"):
        plan_passes(CLASSES, GROUPS, annotations(tables, "y", "x"), "oid")
