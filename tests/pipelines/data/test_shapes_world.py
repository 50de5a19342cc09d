"""Tests for pipelines.data.shapes_world: the files of a small world."""

import csv
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipelines.data.shapes import ShapesSettings, class_attributes, shapes_vocabulary
from pipelines.data.shapes_world import ShapesSplit, ShapesWorld, write_shapes_world
from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

SETTINGS = ShapesSettings(
    seed=3,
    num_train=20,
    num_val_seen=5,
    num_val_novel=10,
    num_negatives=6,
    num_crops=960,
    min_crops=1,
    crop_size=16,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> ShapesWorld:
    """Return a world of 35 scenes and one crop a class."""
    return write_shapes_world(tmp_path_factory.mktemp("world"), SETTINGS)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _classes(path: Path) -> Vocabulary:
    rows = _rows(path)
    return Vocabulary(
        tuple(row["LabelName"] for row in rows), tuple(row["DisplayName"] for row in rows)
    )


def _splits(world: ShapesWorld) -> dict[str, ShapesSplit]:
    return {"train": world.train, "val-seen": world.val_seen, "val-novel": world.val_novel}


def test_class_lists_have_the_order_of_the_classifier(world: ShapesWorld) -> None:
    """All classes are listed in the vocabulary's order, and the seen ones in the same order."""
    everything, seen = _classes(world.classes), _classes(world.seen_classes)

    assert everything == shapes_vocabulary()
    assert len(seen) == 100
    assert everything.rows(seen.ids) == sorted(everything.rows(seen.ids))


def test_only_novel_scenes_hold_novel_classes(world: ShapesWorld) -> None:
    """Boxes for training and for seen validation are of seen classes, the others of novel ones."""
    seen = _classes(world.seen_classes)
    for name, split in _splits(world).items():
        rows = _rows(split.boxes)
        assert rows
        assert all((row["LabelName"] in seen) == (name != "val-novel") for row in rows)


def test_every_image_has_boxes_and_every_box_an_image(world: ShapesWorld) -> None:
    """Archives and box files name the same images, ``<ImageID>.jpg``."""
    for split, count in zip(_splits(world).values(), (20, 5, 10), strict=True):
        with zipfile.ZipFile(split.images) as archive:
            names = archive.namelist()
        assert len(names) == count
        assert {row["ImageID"] + ".jpg" for row in _rows(split.boxes)} == set(names)


def test_boxes_have_the_columns_of_open_images(world: ShapesWorld) -> None:
    """The thirteen columns stand in Open Images' order, and corners in theirs."""
    rows = _rows(world.train.boxes)

    assert ",".join(rows[0]) == (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
        "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    for row in rows:
        assert 0 <= float(row["XMin"]) < float(row["XMax"]) <= 1
        assert 0 <= float(row["YMin"]) < float(row["YMax"]) <= 1


def test_verified_labels_agree_with_the_boxes(world: ShapesWorld) -> None:
    """Present classes are those with boxes; as many absent ones as asked for are not."""
    for split in _splits(world).values():
        boxed = {(row["ImageID"], row["LabelName"]) for row in _rows(split.boxes)}
        labels = _rows(split.labels)
        present = {(r["ImageID"], r["LabelName"]) for r in labels if r["Confidence"] == "1"}
        absent = {(r["ImageID"], r["LabelName"]) for r in labels if r["Confidence"] == "0"}
        assert present == boxed
        assert not absent & boxed
        assert len(absent) == SETTINGS.num_negatives * len({image_id for image_id, _ in boxed})


def test_half_of_the_absent_classes_are_near_misses(world: ShapesWorld) -> None:
    """In novel scenes, half of the negatives differ in one attribute from a class present."""
    labels = _rows(world.val_novel.labels)
    image_id = labels[0]["ImageID"]
    positions = shapes_vocabulary().positions

    def attributes(confidence: str) -> np.ndarray:
        rows = [
            positions[r["LabelName"]]
            for r in labels
            if r["ImageID"] == image_id and r["Confidence"] == confidence
        ]
        return class_attributes()[rows]

    shared = (attributes("0")[:, None] == attributes("1")[None]).sum(axis=2).max(axis=1)
    assert (shared == 2).sum() == SETTINGS.num_negatives // 2


def test_crops_cover_every_class(world: ShapesWorld) -> None:
    """Each class has its crops, labelled with its row and its attributes."""
    crops = load_file(world.crops)

    assert crops["images"].shape == (960, 16, 16, 3)
    assert crops["images"].dtype == np.uint8
    np.testing.assert_array_equal(np.unique(crops["labels"]), np.arange(960))
    np.testing.assert_array_equal(crops["attributes"], class_attributes()[crops["labels"]])


def test_the_hierarchy_file_is_a_tree_of_all_classes(world: ShapesWorld) -> None:
    """The leaves of the written tree are the classes."""
    tree = json.loads(world.hierarchy.read_text())

    leaves = [leaf["LabelName"] for shape in tree["Subcategory"] for leaf in shape["Subcategory"]]
    assert leaves == list(shapes_vocabulary().ids)


def test_the_same_seed_writes_the_same_bytes(world: ShapesWorld, tmp_path: Path) -> None:
    """A second world of the same settings is equal byte for byte, in every file."""
    folder = world.classes.parent

    write_shapes_world(tmp_path, SETTINGS)

    files = sorted(path.name for path in folder.iterdir())
    assert files == sorted(path.name for path in tmp_path.iterdir())
    assert all((folder / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_another_seed_writes_another_world(world: ShapesWorld, tmp_path: Path) -> None:
    """Another seed changes the pixels, the boxes and the seen classes."""
    other = write_shapes_world(tmp_path, ShapesSettings(**vars(SETTINGS) | {"seed": 4}))

    for part in ("crops", "seen_classes"):
        assert getattr(other, part).read_bytes() != getattr(world, part).read_bytes()
    assert other.train.images.read_bytes() != world.train.images.read_bytes()
    assert other.train.boxes.read_bytes() != world.train.boxes.read_bytes()


def test_a_longer_training_set_leaves_the_validation_as_it_was(
    world: ShapesWorld, tmp_path: Path
) -> None:
    """The size of one part does not change the pixels of another."""
    longer = write_shapes_world(tmp_path, ShapesSettings(**vars(SETTINGS) | {"num_train": 21}))

    assert longer.val_novel.images.read_bytes() == world.val_novel.images.read_bytes()
    assert longer.crops.read_bytes() == world.crops.read_bytes()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    """A folder that cannot be made is an error that says which."""
    blocked = tmp_path / "file"
    blocked.touch()

    with pytest.raises(DatasetError, match=r"file: cannot make the folder \(File exists\)"):
        write_shapes_world(blocked, SETTINGS)


def test_each_picture_is_told(tmp_path: Path) -> None:
    """Drawing takes minutes: how many pictures there are, and how many of them are drawn."""
    told: list[tuple[int, int]] = []

    world = write_shapes_world(tmp_path, SETTINGS, lambda *drawn: told.append(drawn))

    total = len(load_file(world.crops)["labels"]) + 35
    assert told == [(drawn, total) for drawn in range(1, total + 1)]
