"""Tests for pipelines.data.splits: tables put together, and parts taken."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable, Source
from pipelines.data.splits import (
    annotated_images,
    assemble,
    expand,
    keep_classes,
    keep_images,
    with_labels,
)
from pipelines.errors import ConfigError
from pipelines.vocabulary import Vocabulary

TREE = {"LabelName": "root", "Subcategory": [{"LabelName": "b", "Subcategory": [
    {"LabelName": "a"}]}]}  # fmt: skip
CLASSES = Vocabulary(("c", "a", "b"), ("C", "A", "B"))

Row = tuple[str, str]  # image and class
rows_of_a_file = st.lists(st.tuples(st.sampled_from("pqrst"), st.sampled_from("abc")), max_size=9)


def boxes_of(name: str, rows: list[Row]) -> BoxTable:
    """Return one box a row, at a place that its line tells."""
    images = tuple(sorted({image for image, _ in rows}))
    classes = tuple(sorted({class_id for _, class_id in rows}))
    lines = np.arange(2, len(rows) + 2)
    return BoxTable.of(
        Source(Path(name)),
        lines,
        image_ids=images,
        image=np.array([images.index(image) for image, _ in rows], np.int64),
        class_ids=classes,
        label=np.array([classes.index(class_id) for _, class_id in rows], np.int64),
        boxes=np.stack([lines * 0.0, lines * 0.0, lines / 100, lines / 100], axis=1),
        group_of=lines % 2 == 0,
    )


def labels_of(rows: list[Row]) -> ImageLabelTable:
    """Return one label a row, in turn present and absent."""
    table = boxes_of("labels", rows)
    positive = np.arange(len(rows)) % 2 == 0
    return ImageLabelTable(table.image_ids, table.image, table.class_ids, table.label, positive)


def rows(split: Annotations) -> list[tuple[str, str, str]]:
    """Return image, class and place of each box."""
    table = split.boxes
    return [
        (table.image_ids[image], table.class_ids[label], table.where(row))
        for row, (image, label) in enumerate(
            zip(table.image.tolist(), table.label.tolist(), strict=True)
        )
    ]


def told(split: Annotations) -> list[tuple[str, str, bool]]:
    """Return image, class and presence of each label."""
    table = split.labels
    assert table is not None
    columns = table.image.tolist(), table.label.tolist(), table.positive.tolist()
    return [(table.image_ids[i], table.class_ids[c], p) for i, c, p in zip(*columns, strict=True)]


@given(rows_of_a_file, rows_of_a_file, rows_of_a_file)
def test_files_become_one_split(first: list[Row], second: list[Row], labelled: list[Row]) -> None:
    """Every row is kept, by image, then by file and line, whatever the files share."""
    tables = [boxes_of("x", first), boxes_of("y", second)]

    split = assemble(tables, [labels_of(labelled)], CLASSES)

    places = [(*row, f"x:{n}") for n, row in enumerate(first, 2)]
    places += [(*row, f"y:{n}") for n, row in enumerate(second, 2)]
    assert rows(split) == sorted(places, key=lambda place: place[0])
    expected = [(*row, n % 2 == 0) for n, row in enumerate(labelled)]
    assert told(split) == sorted(expected, key=lambda label: label[0])
    assert tuple(split.image_ids) == tuple(
        sorted({image for image, _ in [*first, *second, *labelled]})
    )
    lines = np.array([int(place.partition(":")[2]) for _, _, place in rows(split)])
    assert split.boxes.boxes[:, 2].tolist() == (lines / 100).tolist()
    assert split.boxes.group_of.tolist() == (lines % 2 == 0).tolist()


@given(rows_of_a_file, rows_of_a_file, st.sets(st.sampled_from("pqrst")))
def test_kept_images_keep_their_rows(
    first: list[Row], labelled: list[Row], wanted: set[str]
) -> None:
    """Taking images out leaves the rows, sizes and places of the others as they were."""
    split = assemble([boxes_of("x", first)], [labels_of(labelled)], CLASSES)
    numbers = [ord(image) for image in split.image_ids]
    split = replace(split, sizes=np.array([numbers, numbers], np.int32).T)

    part = keep_images(split, np.array([i in wanted for i in split.image_ids], np.bool_))

    assert tuple(part.image_ids) == tuple(i for i in split.image_ids if i in wanted)
    assert rows(part) == [row for row in rows(split) if row[0] in wanted]
    assert told(part) == [label for label in told(split) if label[0] in wanted]
    for table in (part.boxes, part.labels):
        assert table is not None
        assert tuple(table.image_ids) == tuple(part.image_ids)
    assert part.sizes[:, 0].tolist() == [ord(image) for image in part.image_ids]


def test_kept_classes_keep_their_rows() -> None:
    """Rows of other classes go; their images stay, without annotation."""
    split = assemble(
        [boxes_of("x", [("p", "a"), ("q", "b"), ("q", "a")])], [labels_of([("p", "b")])], CLASSES
    )

    part = keep_classes(split, Vocabulary(("b",), ("B",)))

    assert rows(part) == [("q", "b", "x:3")]
    assert told(part) == [("p", "b", True)]
    assert tuple(part.image_ids) == ("p", "q")
    assert annotated_images(keep_classes(split, CLASSES.subset([0]))).tolist() == [False, False]


@given(rows_of_a_file, rows_of_a_file)
def test_parts_are_the_same_in_place(first: list[Row], labelled: list[Row]) -> None:
    """Sorting and taking parts in memory that nobody else holds gives what copies give."""
    wanted = Vocabulary(("b", "c"), ("B", "C"))
    splits = []
    for in_place in (False, True):
        tables = [boxes_of("x", first)], [labels_of(labelled)]
        split = assemble(*tables, CLASSES, in_place=in_place)
        kept = np.array([image in "prs" for image in split.image_ids], np.bool_)
        split = keep_images(split, kept, in_place=in_place)
        splits.append(keep_classes(split, wanted, in_place=in_place))

    copied, moved = splits
    assert rows(moved) == rows(copied)
    assert told(moved) == told(copied)
    assert moved.boxes.boxes.tolist() == copied.boxes.boxes.tolist()


def test_expanding_twice_is_expanding_once() -> None:
    """A split knows that it is expanded; without a hierarchy it cannot be."""
    split = assemble([boxes_of("x", [("p", "a")])], [labels_of([("p", "a")])], CLASSES, TREE)

    once = expand(split)

    assert rows(once) == [("p", "a", "x:2"), ("p", "b", "x:2")]
    assert told(once) == [("p", "a", True), ("p", "b", True)]
    assert expand(once) is once
    with pytest.raises(ConfigError, match="no hierarchy"):
        expand(replace(split, hierarchy=None))


def test_labels_of_other_images_leave_the_sizes_alone() -> None:
    """An image that only the labels name has no size; the others keep theirs."""
    split = assemble([boxes_of("x", [("p", "a"), ("r", "b")])], [], CLASSES)
    split = replace(split, sizes=np.array([[1, 2], [3, 4]], np.int32))

    found = with_labels(split, labels_of([("q", "a")]))

    assert tuple(found.image_ids) == ("p", "q", "r")
    assert found.sizes.tolist() == [[1, 2], [0, 0], [3, 4]]
    assert rows(found) == rows(split)


def test_a_split_tells_256_files_apart() -> None:
    """More would be taken for one another, so they are refused."""
    tables = [boxes_of(f"file{number}", [("p", "a")]) for number in range(257)]

    split = assemble(tables[:256], [], CLASSES)

    assert [place for _, _, place in rows(split)] == [f"file{number}:2" for number in range(256)]
    with pytest.raises(ConfigError, match="257 box files"):
        assemble(tables, [], CLASSES)
