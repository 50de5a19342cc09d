"""Tests for pipelines.data.visual_genome."""

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.class_files import read_subset
from pipelines.data.image_sizes import ImageSizes, read_image_sizes
from pipelines.data.visual_genome import read_image_data, read_visual_genome
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(
    ("/m/t", "/m/s2", "/m/s1", "/m/d", "/m/k1", "/m/k2", "/m/none"),
    ("Tree", "Sheep", "Sheep", "Dog", "Kite", "kite", "Zebra"),
)
SIZES = ImageSizes.from_mapping({"2": (100, 200), "10": (50, 50)})


def vg_object(object_id: int, name: str, x: int, y: int, w: int, h: int) -> dict[str, Any]:
    """Return an object as version 1.4 writes it."""
    return {"synsets": [], "h": h, "object_id": object_id, "merged_object_ids": [],
            "names": [name], "w": w, "y": y, "x": x}  # fmt: skip


def write(path: Path, images: dict[int, list[dict[str, Any]]]) -> Path:
    """Write a file of objects by image."""
    content = [
        {"image_id": image, "objects": objects, "image_url": f"https://x/{image}.jpg"}
        for image, objects in images.items()
    ]
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def objects_json(tmp_path: Path) -> Path:
    """Return a file in which image 3, of unknown size, has no object of a class."""
    images = {
        2: [
            vg_object(1, "tree", 20, 10, 100, 50),
            vg_object(2, "sheep", 0, 0, 200, 100),
            vg_object(3, "kite", 1, 1, 2, 2),
            vg_object(4, "pups", 1, 1, 2, 2),
        ],
        3: [vg_object(5, "cloud", 0, 0, 10, 10)],
        10: [
            vg_object(6, " TREE", 25, 0, 25, 50),
            vg_object(7, "dog", 0, 0, 60, 10),
            vg_object(8, "cloud", 0, 0, 10, 10),
            vg_object(9, "sky", 0, 0, 10, 10),
        ],
    }
    return write(tmp_path / "objects.json", images)


def test_objects_find_their_classes(objects_json: Path) -> None:
    """Excluded and ambiguous classes, rare ones and unknown names are counted, not kept."""
    annotations, report = read_visual_genome(
        objects_json, CLASSES, SIZES, exclude=["/m/s1", "/m/d"], aliases=[["pups", "dog"]]
    )

    table = annotations.boxes
    assert annotations.image_ids == ("10", "2")
    assert annotations.sizes.tolist() == [[50, 50], [100, 200]]
    assert annotations.vocabulary == CLASSES.subset([0, 1])
    assert [table.class_ids[label] for label in table.label] == ["/m/t", "/m/t", "/m/s2"]
    assert table.boxes.tolist() == [[0.5, 0, 1, 1], [0.1, 0.1, 0.6, 0.6], [0, 0, 1, 1]]
    assert not table.group_of.any()
    assert table.where(1) == f"{objects_json}: annotation 1"
    assert (report.objects, report.matched, report.excluded) == (9, 3, 2)
    assert (report.ambiguous, report.unmatched, report.rare) == (1, 3, 0)
    assert list(report.by_class.items()) == [("/m/t", 2), ("/m/s2", 1)]
    assert report.ambiguous_names == {"kite": ("/m/k1", "/m/k2")}
    assert report.colliding_names == {"sheep": ("/m/s2", "/m/s1")}
    assert list(report.unmatched_names.items()) == [("cloud", 2), ("sky", 1)]


def test_rare_classes_are_left_out(objects_json: Path) -> None:
    """With them go images that have no other object."""
    annotations, report = read_visual_genome(
        objects_json, CLASSES, SIZES, min_boxes=2, aliases=[["pups", "dog"]], policy="clip"
    )

    assert annotations.vocabulary.ids == ("/m/t", "/m/d")
    assert annotations.boxes.rows.tolist() == [6, 7, 1, 4]
    assert (report.matched, report.rare, report.ambiguous) == (4, 0, 2)
    with pytest.raises(MismatchError, match="no class has 3 of the 9 objects"):
        read_visual_genome(objects_json, CLASSES, SIZES, min_boxes=3)


def test_rare_objects_are_counted(objects_json: Path) -> None:
    """Their names are understood, so they are not unmatched."""
    _, report = read_visual_genome(objects_json, CLASSES, SIZES, min_boxes=2, policy="drop")

    assert (report.matched, report.rare, report.unmatched) == (2, 1, 4)


def test_bad_boxes_follow_the_policy(objects_json: Path) -> None:
    """The dog reaches ten pixels out of its image."""
    with pytest.raises(DatasetError, match="annotation 7: a box leaves the image"):
        read_visual_genome(objects_json, CLASSES, SIZES)


def test_unknown_sizes_are_refused(objects_json: Path) -> None:
    """Only images with boxes need one."""
    with pytest.raises(MismatchError, match="the size of image '10' is not known"):
        read_visual_genome(objects_json, CLASSES, ImageSizes.from_mapping({"2": (1, 1)}))


def test_sizes_are_read_from_image_data(tmp_path: Path) -> None:
    """Both names of the id are understood."""
    path = tmp_path / "image_data.json"
    path.write_text(
        '[{"image_id": 1, "width": 800, "height": 600, "url": "x", "coco_id": null}, '
        '{"image_id": 2, "width": 50, "height": 40}]'
    )
    assert read_image_data(path).of(["2", "1"]).tolist() == [[40, 50], [600, 800]]

    path.write_text('[{"id": 1, "width": 800, "height": 600}]')
    assert read_image_data(path).of(["1"]).tolist() == [[600, 800]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "not a list of images"),
        ("[1]", "not a list of images"),
        ('[{"image_id": 1, "width": 0, "height": 6}]', "image at position 0: width is 0"),
        ('[{"image_id": 1, "height": 6}]', "image at position 0: width is missing"),
        (
            '[{"image_id": 1, "width": 5, "height": 6}, {"image_id": 1, "width": 5, "height": 6}]',
            "image at position 1: '1' is the image_id of image at position 0 too",
        ),
    ],
)
def test_bad_image_data_is_refused(tmp_path: Path, content: str, message: str) -> None:
    """Every fault comes with the file and the image."""
    path = tmp_path / "image_data.json"
    path.write_text(content)

    with pytest.raises(DatasetError, match=message):
        read_image_data(path)


@pytest.mark.real_data
def test_the_released_selection_is_reproduced(real_data: Path, tmp_path: Path) -> None:
    """Names of classes that are none of the 500 give the released boxes and classes of VG-200.

    The released boxes are written back as pixels under the names of their classes.
    """
    folder = real_data / "open-images"
    novel = read_subset(folder / "vg-class-descriptions.csv")
    detection = read_subset(folder / "challenge-2018-class-descriptions-new.csv")
    known = Vocabulary(detection.ids + novel.ids, detection.names + novel.names)
    sizes = read_image_sizes(folder / "vg_sizes.txt")
    size_of = dict(zip(sizes.image_ids, sizes.sizes.tolist(), strict=True))
    with (folder / "vg-annotations-bbox.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    images: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for number, row in enumerate(rows):
        height, width = size_of[row["ImageID"]]
        x, y = round(float(row["XMin"]) * width), round(float(row["YMin"]) * height)
        w = round(float(row["XMax"]) * width) - x
        h = round(float(row["YMax"]) * height) - y
        name = novel.name_of[row["LabelName"]].lower()
        images[int(row["ImageID"])].append(vg_object(number, name, x, y, w, h))

    annotations, report = read_visual_genome(
        write(tmp_path / "objects.json", images),
        known,
        sizes,
        policy="keep",
        exclude=detection.ids,
        min_boxes=2,
    )

    table = annotations.boxes
    assert (report.matched, len(annotations.image_ids)) == (len(rows), 24_690)
    assert annotations.vocabulary.ids == novel.ids
    assert report.colliding_names == {"sheep": ("/m/07bgp", "/m/08hhz2")}
    assert report.ambiguous_names == {}
    wanted = [rows[row] for row in table.rows.tolist()]
    corners = [[float(row[c]) for c in ("XMin", "YMin", "XMax", "YMax")] for row in wanted]
    np.testing.assert_allclose(table.boxes, corners, rtol=0, atol=1e-6)
    labels = [table.class_ids[label] for label in table.label.tolist()]
    assert labels == [row["LabelName"] for row in wanted]
    shown = [table.image_ids[image] for image in table.image.tolist()]
    assert shown == [row["ImageID"] for row in wanted]
