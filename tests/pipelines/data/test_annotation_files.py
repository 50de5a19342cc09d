"""Tests for pipelines.data.annotation_files: tables and indexes read alike."""

import json
from pathlib import Path

import pytest

from pipelines.data.annotation_files import load_annotations
from pipelines.data.annotations import Annotations
from pipelines.data.array_file import write_arrays
from pipelines.data.index import write_index
from pipelines.data.splits import expand
from pipelines.errors import ArtifactError, DatasetError, MismatchError

TREE = {"LabelName": "root", "Subcategory": [{"LabelName": "pet", "Subcategory": [
    {"LabelName": "cat"}]}, {"LabelName": "dog"}]}  # fmt: skip


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """Return a box file, not in the order of the images; the box on line 4 leaves its image."""
    path = tmp_path / "boxes.csv"
    path.write_text(
        "ImageID,LabelName,XMin,XMax,YMin,YMax\n"
        "j,cat,0,0.5,0,0.5\n"
        "i,dog,0,1,0,0.5\n"
        "j,dog,0,1.5,0,1\n"
        "i,cat,0,1,0,1\n"
    )
    return path


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Return verified labels, one of them of an image without boxes."""
    path = tmp_path / "labels.csv"
    path.write_text("ImageID,LabelName,Confidence\nk,cat,1\ni,pet,0\n")
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return the hierarchy of three classes."""
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(TREE))
    return path


def index_of(split: Annotations, path: Path) -> Path:
    """Write an index that keeps bad boxes."""
    write_index(path, split, key="k", policy="keep", provenance={}, counts={})
    return path


def rows(split: Annotations) -> list[tuple[str, str, str]]:
    """Return image, class and place of each box."""
    table = split.boxes
    return [
        (table.image_ids[image], table.class_ids[label], table.where(row).rpartition(":")[2])
        for row, (image, label) in enumerate(
            zip(table.image.tolist(), table.label.tolist(), strict=True)
        )
    ]


def test_boxes_come_by_image(boxes: Path) -> None:
    """Rows of one image stand together, in the order of the file, and know their lines."""
    split = load_annotations(boxes, policy="keep")

    assert rows(split) == [
        ("i", "dog", "3"), ("i", "cat", "5"), ("j", "cat", "2"), ("j", "dog", "4"),
    ]  # fmt: skip
    assert split.labels is None
    assert split.vocabulary.ids == ("cat", "dog")


def test_an_index_reads_as_the_table_that_it_was_made_of(boxes: Path, tmp_path: Path) -> None:
    """Whatever the policy, the rows are the same."""
    index = index_of(load_annotations(boxes, policy="keep"), tmp_path / "index")

    for policy in ("keep", "clip", "drop"):
        assert rows(load_annotations(index, policy=policy)) == rows(
            load_annotations(boxes, policy=policy)
        )
    with pytest.raises(DatasetError, match="leaves the image") as caught:
        load_annotations(index, policy="error")
    assert caught.value.where == f"{boxes}:4"


def test_labels_and_boxes_share_their_images(boxes: Path, labels: Path, tmp_path: Path) -> None:
    """An image that has labels only is an image of the split, beside a table as beside an index."""
    index = index_of(load_annotations(boxes, policy="keep"), tmp_path / "index")

    for source in (boxes, index):
        split = load_annotations(source, image_labels=labels, policy="keep")

        assert split.labels is not None
        assert tuple(split.image_ids) == tuple(split.boxes.image_ids) == ("i", "j", "k")
        assert [split.labels.image_ids[image] for image in split.labels.image] == ["i", "k"]
        assert split.labels.positive.tolist() == [False, True]
        assert len(split.sizes) == 3
        assert len(rows(split)) == 4


def test_what_is_named_wins_over_the_index(boxes: Path, tree: Path, tmp_path: Path) -> None:
    """A hierarchy and a class list beside an index take the place of its own."""
    index = index_of(load_annotations(boxes, policy="keep"), tmp_path / "index")
    classes = tmp_path / "classes.csv"
    classes.write_text("dog,Dog\npet,Pet\ncat,Cat\n")

    split = load_annotations(index, hierarchy=tree, classes=classes, policy="keep")

    assert split.hierarchy == TREE
    assert split.vocabulary.names == ("Dog", "Pet", "Cat")


def test_a_class_outside_the_list_names_its_row(boxes: Path, tmp_path: Path) -> None:
    """The first box of such a class is named, with the nearest class that is known."""
    classes = tmp_path / "classes.csv"
    classes.write_text("cat\ndogs\n")

    with pytest.raises(MismatchError, match=r"'dog'.* 2 of 4 (.|\n)*'dogs'") as caught:
        load_annotations(boxes, classes=classes, policy="keep")

    assert caught.value.where == f"{boxes}:3"


def test_an_expanded_index_keeps_its_hierarchy(
    boxes: Path, labels: Path, tree: Path, tmp_path: Path
) -> None:
    """Labels named beside it are expanded as its boxes are; another tree is refused."""
    split = expand(load_annotations(boxes, hierarchy=tree, policy="keep"))
    index = index_of(split, tmp_path / "index")

    found = load_annotations(index, hierarchy=tree, image_labels=labels, policy="keep")

    assert found.expanded
    assert len(found.boxes) == 6
    assert found.labels is not None
    assert [found.labels.class_ids[label] for label in found.labels.label] == [
        "pet", "cat", "cat", "pet",
    ]  # fmt: skip
    tree.write_text(json.dumps({**TREE, "LabelName": "other root"}))
    with pytest.raises(MismatchError, match="not the hierarchy"):
        load_annotations(index, hierarchy=tree, policy="keep")


def test_another_artifact_is_no_index(tmp_path: Path) -> None:
    """A detection head in the place of boxes is refused by its kind."""
    write_arrays(tmp_path / "head", "wtn.detection-head", {}, {}, {})

    with pytest.raises(ArtifactError, match=r"expected a wtn\.dataset-index file"):
        load_annotations(tmp_path / "head")
