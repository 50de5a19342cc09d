"""Tests for pipelines.data.checks."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.annotations import BoxTable, ImageLabelTable, Source
from pipelines.data.box_policy import check_boxes
from pipelines.data.checks import (
    check_box_classes,
    check_box_table,
    check_image_ids,
    check_labels,
    is_unsafe,
    mentions_in_boxes,
    mentions_in_labels,
)
from pipelines.data.findings import Mentions, Offence
from pipelines.data.open_images import read_boxes

FILE = Path("boxes.csv")
corner = st.sampled_from([0.0, 0.5, 1.0, 1.5, -1.0, float("nan")])
rows = st.tuples(st.integers(0, 2), st.integers(0, 1), st.tuples(*[corner] * 4))


@given(st.lists(rows, max_size=10), st.sampled_from(["clip", "drop"]))
def test_what_is_announced_is_what_a_policy_does(drawn: list, policy: str) -> None:
    """The rows said to be dropped are those that training does without; the rest is as it was."""
    table = _table(drawn)

    said = [o for finding in check_box_table(table, policy) for o in finding.offences]

    dropped = {o.row for o in said if o.action == "dropped"}
    treated = check_boxes(table, policy)
    assert treated.rows.tolist() == [row for row in table.rows.tolist() if row not in dropped]
    changed = (table.boxes[treated.rows - 2] != treated.boxes).any(axis=1)
    assert {o.row for o in said if o.action == "clipped"} == set(treated.rows[changed].tolist())
    assert {o.action for o in said} <= {"dropped", "clipped"}


@given(st.lists(rows, max_size=10), st.sampled_from(["error", "clip", "drop"]))
def test_counts_are_those_of_the_rows(drawn: list, policy: str) -> None:
    """What is summed up without looking at rows agrees with them."""
    for finding in check_box_table(_table(drawn), policy):
        offences = list(finding.offences)
        assert {o.kind for o in offences} == {finding.kind}
        for action, count in finding.actions.items():
            assert [o.action for o in offences].count(action) == count > 0
        assert sum(finding.actions.values()) == len(offences)


def test_a_box_that_clipping_makes_a_copy_is_announced() -> None:
    """It is good as it stands, yet training goes without it under clip, and only then."""
    table = _table([(0, 0, (0.5, 0, 1.5, 1)), (0, 0, (0.5, 0, 1, 1))])

    kinds = {
        policy: [(f.kind, dict(f.actions)) for f in check_box_table(table, policy)]
        for policy in ("clip", "drop")
    }

    assert kinds["clip"] == [("box-outside", {"clipped": 1}), ("box-duplicate", {"dropped": 1})]
    assert kinds["drop"] == [("box-outside", {"dropped": 1})]


def test_classes_are_checked_both_ways() -> None:
    """A box of a foreign class has its row; a class without a box has its line in the list."""
    table = _table([(0, 0, (0, 0, 1, 1)), (1, 1, (0, 0, 1, 1))])

    unknown, unused = check_box_classes(table, {"c": 2, "e": 3}, Path("classes.csv"))

    assert list(unknown.offences) == [Offence("class-unknown", "boxes.csv", 3, "j", "d")]
    assert list(unused.offences) == [
        Offence("class-unused", "classes.csv", 3, class_id="e", action="kept")
    ]
    assert not list(check_box_classes(table, {"c": 2, "d": 3}, Path("classes.csv")))


def test_contradictions_need_the_same_image_and_class() -> None:
    """Both sides of a contradiction are told; other images, classes and repeats are no part."""
    labels = _labels([(0, 0, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0)])

    (finding,) = check_labels(labels, np.arange(5) + 2, Path("labels.csv"), None)

    assert [(o.row, o.detail) for o in finding.offences] == [
        (2, "Confidence 1"), (5, "Confidence 1"), (6, "Confidence 0"),
    ]  # fmt: skip


def test_labels_of_foreign_classes_are_told() -> None:
    """Without a class list there are none; without lines, as in an index, the image is named."""
    labels = _labels([(0, 0, 1), (1, 1, 0)])

    (finding,) = check_labels(labels, None, Path("index"), {"c": 2})

    assert list(finding.offences) == [
        Offence("label-class-unknown", "index", None, "j", "d", "Confidence 0", "ignored")
    ]
    assert not list(check_labels(labels, None, Path("index"), None))


def test_images_are_named_where_they_first_are() -> None:
    """An image of both files belongs to the boxes; one without a row has none."""
    boxes = mentions_in_boxes(
        _table([(2, 0, (0, 0, 1, 1)), (0, 0, (0, 0, 1, 1)), (2, 0, (0,) * 4)]), Path("index")
    )
    labels = _labels([(3, 0, 1), (0, 0, 1), (3, 1, 1)])
    both = boxes.followed_by(mentions_in_labels(labels, np.arange(3) + 2, Path("labels.csv")))

    found = [both.offence("image-missing", i, "").where for i in range(len(both.image_ids))]

    assert list(both.image_ids) == ["i", "j", "k", "l"]
    assert found == ["boxes.csv:3", "index", "boxes.csv:2", "labels.csv:2"]


@pytest.mark.parametrize("image_id", ["../up", "a/b", "/etc", "a\\b", "..", ".", "a\0b", "C:a"])
def test_ids_that_could_lead_out_are_unsafe(image_id: str) -> None:
    """A separator, NUL, a drive or the name of a folder."""
    assert is_unsafe(image_id)


@pytest.mark.parametrize("image_id", ["0a1b", "a.b", "..a", "COCO_train2014_1", "été", "ab:c"])
def test_file_names_are_safe(image_id: str) -> None:
    """Dots and letters of any language are no danger."""
    assert not is_unsafe(image_id)


def test_unsafe_ids_are_told_where_they_are_named() -> None:
    """The row of the annotation is what the user can mend."""
    mentions = Mentions(("a", "../up"), (Source(FILE),), np.zeros(2, np.int64), np.array([2, 3]))

    (offence,) = check_image_ids(mentions)

    assert (offence.where, offence.image_id, offence.detail) == (
        "boxes.csv:3", "../up", "id '../up'",
    )  # fmt: skip


@pytest.mark.real_data
def test_the_faults_of_visual_genome(real_data: Path) -> None:
    """Of 51 boxes outside their image clipping saves 48; three lie wholly outside."""
    table = read_boxes(real_data / "open-images" / "vg-annotations-bbox.csv", "unchecked")

    assert {f.kind: dict(f.actions) for f in check_box_table(table, "clip")} == {
        "box-outside": {"clipped": 48, "dropped": 3},
        "box-degenerate": {"dropped": 1},
        "box-duplicate": {"dropped": 5},
    }


def _table(drawn: list) -> BoxTable:
    """Return boxes (image, class, corners) of a file with a header."""
    image, label, boxes = zip(*drawn, strict=True) if drawn else ((),) * 3
    return BoxTable.of(
        Source(FILE),
        np.arange(len(drawn)) + 2,
        image_ids=("i", "j", "k"),
        image=np.array(image, np.int64),
        class_ids=("c", "d"),
        label=np.array(label, np.int64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        group_of=np.zeros(len(drawn), np.bool_),
    )


def _labels(drawn: list[tuple[int, int, int]]) -> ImageLabelTable:
    """Return labels (image, class, confidence); images without a label are left out."""
    image, label, positive = (np.array(column) for column in zip(*drawn, strict=True))
    present, image = np.unique(image, return_inverse=True)
    ids = tuple("ijkl"[i] for i in present)
    return ImageLabelTable(ids, image, ("c", "d"), label, positive == 1)
