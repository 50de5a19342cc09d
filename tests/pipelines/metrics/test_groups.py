"""Tests for pipelines.metrics.groups."""

import json
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.annotations import Annotations, BoxTable, Source
from pipelines.data.class_files import read_subset
from pipelines.errors import ConfigError
from pipelines.metrics.groups import EvaluatedClasses, choose_classes
from pipelines.vocabulary import Vocabulary

TREE = {
    "LabelName": "root",
    "Subcategory": [
        {"LabelName": "food", "Subcategory": [{"LabelName": "apple"}, {"LabelName": "bread"}]},
        {"LabelName": "zebra"},
    ],
}


def _annotations(*class_ids: str, tree: dict | None = None) -> Annotations:
    """Return a split with one box of each class."""
    count = len(class_ids)
    boxes = BoxTable.of(
        Source(Path("boxes.csv")),
        np.arange(count) + 2,
        image_ids=("i",),
        image=np.zeros(count, np.int64),
        class_ids=class_ids,
        label=np.arange(count),
        boxes=np.tile([0.0, 0, 1, 1], (count, 1)),
        group_of=np.zeros(count, np.bool_),
    )
    names = Vocabulary(class_ids, tuple(name.upper() for name in class_ids))
    return Annotations(("i",), boxes, None, names, np.zeros((1, 2), np.int32), tree)


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """Return a file of one seen class."""
    path = tmp_path / "seen.txt"
    path.write_text("apple\n")
    return path


def test_novel_classes_above_a_seen_one_stand_apart(seen: Path) -> None:
    """Food is above the seen apple; bread is not, though it has a seen sister."""
    annotations = _annotations("apple", "bread", "food", "zebra", tree=TREE)

    classes = choose_classes(annotations, None, None, seen)

    assert classes.members == {
        "seen": ("apple",),
        "novel": ("bread", "food", "zebra"),
        "novel_ancestors": ("food",),
        "novel_others": ("bread", "zebra"),
        "all": ("apple", "bread", "food", "zebra"),
    }
    assert classes.vocabulary.names == ("APPLE", "BREAD", "FOOD", "ZEBRA")


def test_without_a_hierarchy_novel_classes_are_one_group(seen: Path) -> None:
    """Nothing tells which of them stands above a seen one."""
    classes = choose_classes(_annotations("apple", "food"), None, None, seen)

    assert list(classes.members) == ["seen", "novel", "all"]


def test_without_a_head_or_seen_classes_there_are_no_groups() -> None:
    """All classes with boxes are evaluated as one."""
    classes = choose_classes(_annotations("apple", "food", tree=TREE), None, None, None)

    assert classes.members == {"all": ("apple", "food")}


def test_a_joint_evaluation_needs_both_groups() -> None:
    """The message names the one that is missing."""
    names = Vocabulary(("a", "b"), ("a", "b"))

    EvaluatedClasses(names, ("seen", "novel")).require_seen_and_novel()
    with pytest.raises(ConfigError, match="there is no seen one"):
        EvaluatedClasses(names, ("other", "novel")).require_seen_and_novel()


def test_a_head_and_a_file_of_seen_classes_exclude_each_other(seen: Path) -> None:
    """Only one of them can be right."""
    with pytest.raises(ConfigError, match="leave out --seen-classes"):
        choose_classes(_annotations("apple"), None, Path("head.safetensors"), seen)


@pytest.mark.real_data
def test_fifteen_of_the_novel_classes_of_open_images_stand_above_seen_ones(real_data: Path) -> None:
    """So they are new as labels, not to the eye; the 600-class hierarchy tells."""
    folder = real_data / "open-images"
    novel = folder / "novel-class-descriptions.csv"
    tree = json.loads((folder / "bbox_labels_600_hierarchy.json").read_text())
    annotations = _annotations(*read_subset(novel).ids, tree=tree)

    classes = choose_classes(
        annotations, str(novel), None, folder / "challenge-2018-class-descriptions-new.csv"
    )

    name_of = classes.vocabulary.name_of
    assert {name_of[class_id] for class_id in classes.members["novel_ancestors"]} == {
        "Food", "Clothing", "Mammal", "Sports equipment", "Tool", "Fashion accessory", "Plant",
        "Kitchen utensil", "Baked goods", "Auto part", "Snack", "Pastry", "Fast food",
        "Bathroom accessory", "Medical equipment",
    }  # fmt: skip
    assert len(classes.members["novel_others"]) == 57 - 15
    assert "seen" not in classes.members
