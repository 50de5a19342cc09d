"""Tests for pipelines.data.coco."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.coco import read_coco
from pipelines.errors import DatasetError

CONTENT: dict[str, Any] = {
    "info": {"year": 2017},
    "images": [
        {"id": 7, "file_name": "val2017/000b.jpg", "width": 200, "height": 100},
        {"id": 9, "file_name": "000a.png", "width": 50, "height": 40},
        {"id": 3, "file_name": "000c.jpg", "width": 10, "height": 10},
    ],
    "categories": [{"id": 18, "name": "dog"}, {"id": 2, "name": "bicycle"}],
    "annotations": [
        {
            "id": 501,
            "image_id": 7,
            "category_id": 2,
            "bbox": [20, 10, 100.5, 50],
            "area": 1234.5,
            "iscrowd": 0,
            "segmentation": [[20, 10, 120, 10, 120, 60]],
        },
        {
            "id": 500,
            "image_id": 9,
            "category_id": 18,
            "bbox": [0, 0, 50, 40],
            "area": 1900,
            "iscrowd": 1,
            "segmentation": {"counts": [5, 10], "size": [40, 50]},
        },
        {"id": 502, "image_id": 7, "category_id": 18, "bbox": [0, 0, 4, 5]},
    ],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """Return a function that writes a file."""

    def write(content: object) -> Path:
        path = tmp_path / "instances.json"
        path.write_text(json.dumps(content))
        return path

    return write


def test_instances_become_annotations(write: Callable[[Any], Path]) -> None:
    """Boxes are fractions by image id; crowds are groups; an image without objects stays."""
    path = write(CONTENT)

    annotations = read_coco(path)

    table = annotations.boxes
    assert annotations.image_ids == ("000a", "000b", "000c")
    assert annotations.sizes.tolist() == [[40, 50], [100, 200], [10, 10]]
    assert annotations.vocabulary.ids == ("18", "2")
    assert annotations.vocabulary.names == ("dog", "bicycle")
    assert annotations.labels is None
    assert table.image.tolist() == [0, 1, 1]
    assert [table.class_ids[label] for label in table.label] == ["18", "2", "18"]
    np.testing.assert_allclose(
        table.boxes, [[0, 0, 1, 1], [0.1, 0.1, 0.6025, 0.6], [0, 0, 0.02, 0.05]], rtol=1e-15
    )
    assert table.group_of.tolist() == [True, False, False]
    assert table.area is not None
    assert table.area.tolist() == [1900, 1234.5, 20]  # the last is that of the box
    assert table.where(1) == f"{path}: annotation 501"


def test_categories_can_be_joined_by_name(write: Callable[[Any], Path]) -> None:
    """A classifier whose class list holds names is joined on request."""
    annotations = read_coco(write(CONTENT), class_ids="name")

    assert annotations.vocabulary.ids == annotations.vocabulary.names == ("dog", "bicycle")
    assert annotations.boxes.class_ids == ("bicycle", "dog")


def test_lvis_names_its_images_by_url(write: Callable[[Any], Path]) -> None:
    """Without file_name the last part of coco_url is the image's name."""
    content = copy.deepcopy(CONTENT)
    for image in content["images"]:
        image["coco_url"] = f"http://images.cocodataset.org/val2017/{image.pop('file_name')[-8:]}"

    assert read_coco(write(content)).image_ids == ("000a", "000b", "000c")


def test_lvis_verifies_classes_by_image(write: Callable[[Any], Path]) -> None:
    """Classes with boxes are present, negative categories absent, and others unknown."""
    content = copy.deepcopy(CONTENT)
    content["images"][1]["neg_category_ids"] = [2]
    content["images"][2]["neg_category_ids"] = [18, 2]

    labels = read_coco(write(content)).labels

    assert labels is not None
    assert labels.image_ids == ("000a", "000b", "000c")
    assert labels.image.tolist() == [0, 0, 1, 1, 2, 2]
    assert [labels.class_ids[label] for label in labels.label] == ["18", "2"] * 3
    assert labels.positive.tolist() == [True, False, True, True, False, False]


@pytest.mark.parametrize(
    ("negatives", "message"),
    [([2, 5], "neg_category_ids is 5, but no category has this id"), (5, "neg_category_ids is 5")],
)
def test_bad_negative_categories_are_refused(
    write: Callable[[Any], Path], negatives: object, message: str
) -> None:
    """They are a list of known categories."""
    content = copy.deepcopy(CONTENT)
    content["images"][1]["neg_category_ids"] = negatives

    with pytest.raises(DatasetError, match=f"image 9: {message}"):
        read_coco(write(content))


def test_a_file_without_annotations_is_read(write: Callable[[Any], Path]) -> None:
    """Three empty lists are a dataset, if an empty one."""
    annotations = read_coco(write({"images": [], "annotations": [], "categories": []}))

    assert (len(annotations.boxes), len(annotations.image_ids)) == (0, 0)


def test_bad_boxes_follow_the_policy(write: Callable[[Any], Path]) -> None:
    """COCO's own boxes without height are refused, or dropped on request."""
    content = copy.deepcopy(CONTENT)
    content["annotations"][0]["bbox"] = [20, 10, 9, 0]
    path = write(content)

    with pytest.raises(DatasetError, match="annotation 501: a box has no area"):
        read_coco(path)
    assert read_coco(path, "drop").boxes.rows.tolist() == [500, 502]


@pytest.mark.parametrize("content", [[], {"images": []}, {**CONTENT, "annotations": [1]}, 5])
def test_another_structure_is_refused(write: Callable[[Any], Path], content: object) -> None:
    """A list of detections, for example, is no instances file."""
    with pytest.raises(DatasetError, match="not a COCO instances file: it has no list of"):
        read_coco(write(content))


@pytest.mark.parametrize(
    ("entry", "key", "value", "message"),
    [
        ("annotations", "bbox", None, "annotation 500: bbox is missing"),
        ("annotations", "bbox", [1, 2, 3], "annotation 500: bbox is [1, 2, 3]"),
        ("annotations", "bbox", [1, 2, 3, float("nan")], "annotation 500: bbox is [1, 2, 3, nan]"),
        ("annotations", "image_id", 8, "annotation 500: image_id is 8, but no image has this id"),
        ("annotations", "category_id", 1, "annotation 500: category_id is 1, but no category has"),
        ("annotations", "id", "x", "annotation x: id is 'x'"),
        ("annotations", "iscrowd", "yes", "annotation 500: iscrowd is 'yes'"),
        ("images", "width", None, "image 9: width is missing"),
        ("images", "height", 0, "image 9: height is 0"),
        ("images", "file_name", None, "image 9: file_name is missing"),
        ("images", "file_name", "b/000b.png", "image 9: '000b' is the file_name without folder"),
        ("images", "file_name", "\ud800a.jpg", "image 9: file_name is '\\ud800a.jpg'"),
        ("images", "id", "\udfff", "image at position 1: id is '\\udfff'"),
        ("images", "id", 7, "image 7: '7' is the id of image 7 too"),
        ("categories", "id", 18, "category 18: '18' is the id of category 18 too"),
        ("categories", "name", None, "category 2: name is missing"),
    ],
)
def test_a_bad_entry_is_named(
    write: Callable[[Any], Path], entry: str, key: str, value: object, message: str
) -> None:
    """Every fault comes with the file and the annotation, image or category."""
    content = copy.deepcopy(CONTENT)
    content[entry][1][key] = value
    if value is None:
        del content[entry][1][key]
    path = write(content)

    with pytest.raises(DatasetError) as error:
        read_coco(path)

    assert str(error.value).startswith(f"{path}: {message}")
    assert error.value.mend


@pytest.mark.real_data
@pytest.mark.parametrize(("split", "boxes"), [("train", 929), ("val", 898)])
def test_real_instances_pass_the_strict_policy(real_data: Path, split: str, boxes: int) -> None:
    """COCO's rounded numbers do not leave the image, and undo to the pixels of the file."""
    path = real_data / "coco128" / f"instances_{split}2017_128.json"

    annotations = read_coco(path)

    table = annotations.boxes
    assert (len(annotations.image_ids), len(annotations.vocabulary)) == (128, 80)
    assert len(table) == boxes
    entries = {entry["id"]: entry for entry in json.loads(path.read_text())["annotations"]}
    wanted = np.array([entries[row]["bbox"] for row in table.rows.tolist()])
    corners = table.boxes * annotations.sizes[table.image][:, [1, 0, 1, 0]]
    np.testing.assert_allclose(corners[:, :2], wanted[:, :2], atol=0.02)
    np.testing.assert_allclose(corners[:, 2:], wanted[:, :2] + wanted[:, 2:], atol=0.02)
    named = [table.image_ids[image] for image in table.image.tolist()]
    assert named == [f"{entries[row]['image_id']:012}" for row in table.rows.tolist()]
    classes = [int(table.class_ids[label]) for label in table.label.tolist()]
    assert classes == [entries[row]["category_id"] for row in table.rows.tolist()]
