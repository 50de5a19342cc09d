"""Tests for pipelines.data.visual_genome_objects."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from pipelines.data.visual_genome_objects import VisualGenomeObjects
from pipelines.errors import DatasetError

V1_4: list[dict[str, Any]] = [
    {
        "image_id": 2,
        "objects": [
            {
                "synsets": ["tree.n.01"],
                "h": 557,
                "object_id": 1058549,
                "merged_object_ids": [5046],
                "names": ["trees", "tree"],
                "w": 799,
                "y": -1,
                "x": 3,
            },
            {"synsets": [], "h": 2, "object_id": 8, "merged_object_ids": [], "names": [], "w": 1,
             "y": 5, "x": 6},
        ],
        "image_url": "https://cs.stanford.edu/people/rak248/VG_100K_2/2.jpg",
    },
    {"image_id": 3, "objects": [], "image_url": "https://cs.stanford.edu/x/3.jpg"},
    {
        "image_id": 1,
        "objects": [{"synsets": [], "h": 4, "object_id": 9, "merged_object_ids": [],
                     "names": ["trees"], "w": 3, "y": 2, "x": 1}],
        "image_url": "https://cs.stanford.edu/x/1.jpg",
    },
]  # fmt: skip
V1_2 = [
    {
        "image_id": image["image_id"],
        "objects": [
            {key: entry[key] for key in entry if key != "merged_object_ids"}
            for entry in image["objects"]
        ],
    }
    for image in V1_4
]
V1_0 = [
    {
        "id": image["image_id"],
        "objects": [
            {"id": entry["object_id"]} | {key: entry[key] for key in ("x", "y", "w", "h", "names")}
            for entry in image["objects"]
        ],
    }
    for image in V1_2
]


def write(tmp_path: Path, content: object) -> Path:
    """Write a file of objects."""
    path = tmp_path / "objects.json"
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("content", [V1_0, V1_2, V1_4], ids=["1.0", "1.2", "1.4"])
def test_all_versions_are_read(tmp_path: Path, content: list[dict[str, Any]]) -> None:
    """Objects come in the order of the file, with their first name and their corners."""
    objects = VisualGenomeObjects(write(tmp_path, content))

    assert objects.image_ids == ("2", "3", "1")
    assert objects.image.tolist() == [0, 0, 2]
    assert objects.ids.tolist() == [1058549, 8, 9]
    assert [objects.names[code] for code in objects.name] == ["trees", "", "trees"]
    assert objects.corners.tolist() == [[3, -1, 802, 556], [6, 5, 7, 7], [1, 2, 4, 6]]


def test_an_empty_list_is_read(tmp_path: Path) -> None:
    """It has no image."""
    objects = VisualGenomeObjects(write(tmp_path, []))

    assert (objects.image_ids, len(objects.ids), objects.corners.shape) == ((), 0, (0, 4))


@pytest.mark.parametrize("content", [V1_4[0], [1], [[]], 5, [V1_4], [V1_4[1], None]])
def test_another_structure_is_refused(tmp_path: Path, content: object) -> None:
    """The file is a list of images, each with its objects."""
    path = write(tmp_path, content)

    with pytest.raises(DatasetError, match="not a list of images with objects"):
        VisualGenomeObjects(path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("x", None, "annotation 1058549: not an object ('x')"),
        ("h", "9", "annotation 1058549: not an object (must be real number, not str)"),
        ("w", float("inf"), "annotation 1058549: x, y, w, h are [3.0, -1.0, inf, 557.0]"),
        ("names", None, "annotation 1058549: not an object ('names')"),
        ("names", [7], "annotation 1058549: not an object (sequence item 0"),
        ("names", 7, "annotation 1058549: not an object ('int'"),
        ("object_id", None, "annotation None: not an object"),
        ("object_id", 2**70, f"annotation {2**70}: not an object"),
    ],
)
def test_a_bad_object_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    """Every fault comes with the file and the object."""
    content = copy.deepcopy(V1_4)
    content[0]["objects"][0][key] = value
    if value is None:
        del content[0]["objects"][0][key]
    path = write(tmp_path, content)

    with pytest.raises(DatasetError) as error:
        VisualGenomeObjects(path)

    assert str(error.value).startswith(f"{path}: {message}")
    assert error.value.mend


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("image_id", 2, "image 2: image_id is missing, no text, or repeated"),
        ("image_id", None, "image None: image_id is missing, no text, or repeated"),
        ("image_id", [], r"image \[\]: image_id is missing, no text, or repeated"),
        ("image_id", "\ud800", r"image '\\ud800': image_id is missing, no text, or repeated"),
        ("objects", {"x": 1}, "annotation None: not an object"),
        ("objects", [None], "image 3: objects is not a list of objects"),
        ("objects", 4, "image 3: objects is not a list of objects"),
    ],
)
def test_a_bad_image_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    """Every fault comes with the file and the image."""
    content = copy.deepcopy(V1_4)
    content[1][key] = value

    with pytest.raises(DatasetError, match=message):
        VisualGenomeObjects(write(tmp_path, content))
