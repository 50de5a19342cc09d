"""Tests for pipelines.vocabulary."""

import csv
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import ClassHierarchy, ClassPartition, Vocabulary

TREE = {
    "LabelName": "root",
    "Subcategory": [
        {"LabelName": "animal", "Subcategory": [{"LabelName": "shellfish", "Subcategory": [
            {"LabelName": "crab"}]}]},
        {"LabelName": "food", "Subcategory": [
            {"LabelName": "shellfish", "Subcategory": [{"LabelName": "crab"}]},
            {"LabelName": "bread", "Part": [{"LabelName": "crust"}]}]},
    ],
}  # fmt: skip


def vocabulary(*ids: str) -> Vocabulary:
    """Return classes named after their ids."""
    return Vocabulary(ids, tuple(class_id.title() for class_id in ids))


def test_a_repeated_id_is_refused() -> None:
    """Two classes never share an id, because everything is joined by id."""
    with pytest.raises(DatasetError, match="'cat' is listed more than once"):
        vocabulary("cat", "dog", "cat")


def test_an_unknown_class_names_its_neighbour() -> None:
    """A misspelt id is answered with the nearest one."""
    with pytest.raises(MismatchError, match=r"unknown class 'catt'(.|\n)*Did you mean 'cat'"):
        vocabulary("cat", "dog").rows(["dog", "catt"])


def test_subset_keeps_the_order_asked_for() -> None:
    """Rows come back in the order of the request, with their names."""
    chosen = vocabulary("a", "b", "c").subset([2, 0])

    assert chosen.ids == ("c", "a")
    assert chosen.names == ("C", "A")


@given(st.sets(st.sampled_from("abcdefgh"), min_size=1), st.sets(st.sampled_from("defghij")))
def test_partition_splits_by_id(classifier: set[str], detection: set[str]) -> None:
    """Seen, other and novel are disjoint and cover both vocabularies."""
    parts = ClassPartition.of(vocabulary(*classifier), vocabulary(*detection))

    assert set(parts.seen) == classifier & detection
    assert set(parts.other) == detection - classifier
    assert set(parts.novel) == classifier - detection
    for group in ("seen", "other", "novel"):
        assert all(parts.group_of(class_id) == group for class_id in getattr(parts, group))


def test_ancestors_are_the_transpose_of_descendants() -> None:
    """A class under two parents has the ancestors of both; the root and parts do not count."""
    hierarchy = ClassHierarchy.from_tree(TREE)

    assert hierarchy.ancestors_of("crab") == {"shellfish", "animal", "food"}
    assert hierarchy.descendants_of("food") == {"shellfish", "crab", "bread"}
    assert hierarchy.ancestors_of("animal") == frozenset()
    assert hierarchy.ancestors_of("crust") == frozenset()


def test_official_hierarchy_keeps_one_path() -> None:
    """The released tables know a class only on the last path that has ancestors."""
    hierarchy = ClassHierarchy.from_tree(TREE, official=True)

    assert hierarchy.ancestors_of("crab") == {"shellfish", "food"}
    assert hierarchy.descendants_of("animal") == {"shellfish", "crab"}


def test_a_dropped_class_does_not_break_a_relation() -> None:
    """Restricting the classes keeps ancestors across a class that is left out."""
    hierarchy = ClassHierarchy.from_tree(TREE, ["crab", "animal"])

    assert hierarchy.ancestors_of("crab") == {"animal"}


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not a class hierarchy"), ('{"a": 1}', "not a class hierarchy"), (None, "no such file")],
)
def test_a_bad_hierarchy_file_is_named(tmp_path: Path, content: str | None, message: str) -> None:
    """The file is named, whatever is wrong with it."""
    path = tmp_path / "hierarchy.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(DatasetError, match=message) as caught:
        ClassHierarchy.from_json(path)

    assert caught.value.where == str(path)


def test_a_folder_is_not_a_hierarchy(tmp_path: Path) -> None:
    """What cannot be opened is named like any other bad file."""
    with pytest.raises(DatasetError) as caught:
        ClassHierarchy.from_json(tmp_path)
    assert caught.value.where == str(tmp_path)


@pytest.mark.real_data
@pytest.mark.parametrize("official", [False, True])
def test_open_images_hierarchy_equals_the_released_tables(
    real_data: Path, *, official: bool
) -> None:
    """Descendants agree for all 500 classes; ancestors differ in 16, and in none if official."""
    folder = real_data / "open-images"
    with (folder / "challenge-2018-class-descriptions-new.csv").open() as file:
        ids = [row["ln"] for row in csv.DictReader(file)]
    released = torch.load(folder / "hierarchy_inds.pth", weights_only=True)

    tree = folder / "bbox_labels_600_hierarchy.json"
    hierarchy = ClassHierarchy.from_json(tree, ids, official=official)

    place = {class_id: row for row, class_id in enumerate(ids)}
    below = [{place[i] for i in hierarchy.descendants_of(class_id)} for class_id in ids]
    above = [{place[i] for i in hierarchy.ancestors_of(class_id)} for class_id in ids]
    differ = [row for row in range(500) if above[row] != set(released["ctp"][row].tolist())]
    assert below == [set(rows.tolist()) for rows in released["ptc"]]
    assert sum(map(len, below)) == 467
    assert len(differ) == (0 if official else 16)
    assert sum(map(len, above)) == (442 if official else 467)


@pytest.mark.real_data
def test_open_images_partition(real_data: Path) -> None:
    """486 of the 500 challenge classes are the classifier's: by id, the released table."""
    folder = real_data / "open-images"
    with (folder / "challenge-2018-class-descriptions-new.csv").open() as file:
        rows = {row["ln"]: int(row["clsnet_ind"]) for row in csv.DictReader(file)}
    novel = set()
    for name in ("novel-class-descriptions.csv", "vg-class-descriptions.csv"):
        with (folder / name).open() as file:
            novel |= {(row["ln"], int(row["clsnet_ind"])) for row in csv.DictReader(file)}
    row_of = {**{c: row for c, row in rows.items() if row >= 0}, **dict(novel)}
    classifier = vocabulary(*sorted(row_of, key=row_of.__getitem__))  # in the order of its rows

    parts = ClassPartition.of(classifier, vocabulary(*rows))

    released = torch.load(folder / "clsnet_inds_common.pth", weights_only=True)
    assert [row_of[class_id] for class_id in parts.seen] == released.tolist()
    assert (len(parts.seen), len(parts.other), len(parts.novel)) == (486, 14, 57 + 200 - 6)
    assert set(parts.other) == {class_id for class_id, row in rows.items() if row == -1}
    assert set(parts.novel) == {class_id for class_id, _ in novel}
