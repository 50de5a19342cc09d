"""Tests for pipelines.data.expansion."""

import csv
from pathlib import Path

import pytest

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.expansion import expand_boxes, expand_image_labels
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.vocabulary import ClassHierarchy

TREE = {  # crab stands in the tree twice
    "LabelName": "root",
    "Subcategory": [
        {
            "LabelName": "animal",
            "Subcategory": [
                {"LabelName": "shellfish", "Subcategory": [{"LabelName": "crab"}]},
                {"LabelName": "cat"},
            ],
        },
        {
            "LabelName": "food",
            "Subcategory": [{"LabelName": "shellfish", "Subcategory": [{"LabelName": "crab"}]}],
        },
    ],
}


@pytest.fixture
def hierarchy() -> ClassHierarchy:
    """Return the hierarchy of five classes."""
    return ClassHierarchy.from_tree(TREE, ["animal", "shellfish", "crab", "cat", "food"])


@pytest.fixture
def boxes(tmp_path: Path) -> BoxTable:
    """Return a crab, a cat, and the same cat as an animal."""
    path = tmp_path / "boxes.csv"
    path.write_text(
        "ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\n"
        "i,crab,0,0.5,0,0.5,1\n"
        "j,cat,0,1,0,1,0\n"
        "j,animal,0,1,0,1,0\n"
        "j,cat,0,1,0,0.5,0\n"
    )
    return read_boxes(path)


@pytest.fixture
def labels(tmp_path: Path) -> ImageLabelTable:
    """Return present and absent classes of two images."""
    path = tmp_path / "labels.csv"
    path.write_text(
        "ImageID,LabelName,Confidence\ni,crab,1\ni,cat,0\nj,shellfish,1\nj,animal,0\nj,cat,0\n"
    )
    return read_image_labels(path)


def test_a_box_is_copied_to_every_class_above(boxes: BoxTable, hierarchy: ClassHierarchy) -> None:
    """Its other attributes go along, and no class gets the same box twice."""
    expanded = expand_boxes(boxes, hierarchy)

    copies = [
        (expanded.class_ids[label], bool(group), int(line))
        for label, group, line in zip(expanded.label, expanded.group_of, expanded.rows, strict=True)
    ]
    assert copies == [
        ("crab", True, 2), ("animal", True, 2), ("food", True, 2), ("shellfish", True, 2),
        ("cat", False, 3), ("animal", False, 3), ("cat", False, 5), ("animal", False, 5),
    ]  # fmt: skip
    assert expanded.boxes[:4].tolist() == [[0, 0, 0.5, 0.5]] * 4


def test_presence_goes_up_and_absence_goes_down(
    labels: ImageLabelTable, hierarchy: ClassHierarchy
) -> None:
    """What is a crab is an animal; where there is no animal there is no cat."""
    expanded = expand_image_labels(labels, hierarchy)

    rows = [
        (expanded.image_ids[image], expanded.class_ids[label], bool(positive))
        for image, label, positive in zip(
            expanded.image, expanded.label, expanded.positive, strict=True
        )
    ]
    assert rows == [
        ("i", "crab", True), ("i", "animal", True), ("i", "food", True), ("i", "shellfish", True),
        ("i", "cat", False),
        ("j", "shellfish", True), ("j", "animal", True), ("j", "food", True),
        ("j", "animal", False), ("j", "cat", False), ("j", "crab", False),
        ("j", "shellfish", False),
    ]  # fmt: skip


def test_a_flat_hierarchy_changes_nothing(boxes: BoxTable, labels: ImageLabelTable) -> None:
    """Without relations the rows stay as they are."""
    flat = ClassHierarchy.flat()

    assert expand_boxes(boxes, flat).rows.tolist() == boxes.rows.tolist()
    assert expand_image_labels(labels, flat).label.tolist() == labels.label.tolist()


def test_a_table_without_rows_expands_to_one_without_rows(
    boxes: BoxTable, hierarchy: ClassHierarchy
) -> None:
    """A policy may have dropped every box."""
    assert len(expand_boxes(boxes.select(boxes.label < 0), hierarchy)) == 0


@pytest.fixture
def open_images(real_data: Path) -> ClassHierarchy:
    """Return the hierarchy of all boxable classes of Open Images."""
    folder = real_data / "open-images"
    with (folder / "class-descriptions.csv").open(newline="", encoding="utf-8") as file:
        ids = [row[0] for row in csv.reader(file)]
    return ClassHierarchy.from_json(folder / "bbox_labels_600_hierarchy.json", ids)


@pytest.mark.real_data
def test_boxes_expand_as_the_official_tool_expands_them(
    real_data: Path, open_images: ClassHierarchy
) -> None:
    """The set of expanded boxes is the same."""
    folder = real_data / "goldens" / "oid-hierarchy"

    expanded = expand_boxes(read_boxes(folder / "boxes.csv"), open_images)

    official = read_boxes(folder / "boxes-expanded.csv")
    assert _box_set(expanded) == _box_set(official)
    assert len(expanded) == len(_box_set(expanded)) > 2 * 800


@pytest.mark.real_data
def test_labels_expand_as_the_official_tool_expands_them(
    real_data: Path, open_images: ClassHierarchy
) -> None:
    """The set of expanded labels is the same."""
    folder = real_data / "goldens" / "oid-hierarchy"

    expanded = expand_image_labels(read_image_labels(folder / "labels.csv"), open_images)

    official = read_image_labels(folder / "labels-expanded.csv")
    assert _label_set(expanded) == _label_set(official)
    assert len(expanded) == len(_label_set(expanded)) > 1000


def _box_set(table: BoxTable) -> set[tuple]:
    return {
        (table.image_ids[image], table.class_ids[label], *corners, group)
        for image, label, corners, group in zip(
            table.image, table.label, table.boxes.tolist(), table.group_of.tolist(), strict=True
        )
    }


def _label_set(table: ImageLabelTable) -> set[tuple]:
    return {
        (table.image_ids[image], table.class_ids[label], positive)
        for image, label, positive in zip(
            table.image, table.label, table.positive.tolist(), strict=True
        )
    }
