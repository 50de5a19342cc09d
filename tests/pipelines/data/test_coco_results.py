"""Tests for pipelines.data.coco_results: whose ids are used, and what pycocotools reads."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.data.coco_results import (
    CocoNumbers,
    count_up,
    instances_path,
    instances_writer,
    numbers_of,
    results_writer,
)
from pipelines.data.image_prediction import Detection, Prediction
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(("/m/01", "/m/07"), ("Bus", "Cat"))
A, B = Path("x/a.jpg"), Path("y/b.png")
BUS = Detection("/m/01", "Bus", "seen", 0, 0.75, (1.5, 2.0, 31.5, 42.0))
CAT = Detection("/m/07", "Cat", "novel", 1, 0.5, (10.0, 20.0, 30.0, 40.0))


def predictions() -> list[Prediction]:
    """Return two objects in one picture, and one in the next."""
    black = torch.zeros(3, 48, 64, dtype=torch.uint8)
    return [
        Prediction(A, 64, 48, (BUS, CAT), lambda: black),
        Prediction(B, 64, 48, (CAT,), lambda: black),
    ]


def annotations(path: Path, named: Iterable[tuple[object, str]], **change: Any) -> Path:  # noqa: ANN401 - JSON
    """Write an instances file of the two pictures."""
    size = {"width": 64, "height": 48}
    images = [{"id": 70, "file_name": "b.jpg", **size}, {"id": 9, "file_name": "a.jpg", **size}]
    content = {
        "images": images,
        "categories": [{"id": number, "name": name} for number, name in named],
    }  # fmt: skip
    path.write_text(json.dumps(content | change))
    return path


def write(path: Path, numbers: CocoNumbers) -> tuple[list[Any], list[int]]:
    """Write results; return them, and how many detections each image had left out."""
    with results_writer(path, numbers) as add:
        left_out = [add(prediction) for prediction in predictions()]
    return json.loads(path.read_text()), left_out


def test_counted_ids_and_their_instances_file(tmp_path: Path) -> None:
    """Images and classes count from 1, boxes are x, y, width, height; pycocotools reads both."""
    coco = pytest.importorskip("pycocotools.coco")
    results, numbers = tmp_path / "found.json", count_up([A, B], CLASSES)
    beside = instances_path(results)

    with instances_writer(beside, numbers, CLASSES) as add:
        for prediction in predictions():
            add(prediction)
    written, left_out = write(results, numbers)

    cat = {"category_id": 2, "bbox": [10, 20, 20, 20], "score": 0.5}
    bus = {"image_id": 1, "category_id": 1, "bbox": [1.5, 2, 30, 40], "score": 0.75}
    assert written == [bus, {"image_id": 1, **cat}, {"image_id": 2, **cat}]
    assert left_out == [0, 0]
    assert beside == tmp_path / "found-instances.json"
    truth = coco.COCO(str(beside))
    loaded = truth.loadRes(str(results))
    assert [a["area"] for a in loaded.loadAnns(loaded.getAnnIds())] == [1200, 400, 400]
    assert truth.loadCats([2]) == [{"id": 2, "name": "Cat", "class_id": "/m/07"}]
    assert truth.loadImgs([2]) == [{"id": 2, "file_name": "y/b.png", "width": 64, "height": 48}]


@pytest.mark.parametrize(
    ("categories", "expected"),
    [
        ([(3, "Bus"), (17, "Cat")], {"/m/01": 3, "/m/07": 17}),
        ([(3, "Bus"), (17, "Dog"), (18, "/m/07")], {"/m/01": 3}),
        ([(3, "/m/07"), (17, "/m/01")], {"/m/01": 17, "/m/07": 3}),
        ([("/m/07", "x"), ("/m/05", "y")], {"/m/07": "/m/07"}),
    ],
    ids=["by name", "names first", "ids as names", "by id"],
)
def test_classes_are_joined_to_categories(
    tmp_path: Path, categories: list[tuple[object, str]], expected: dict[str, object]
) -> None:
    """By their names; if no class is known, by their ids as names; if none is, by their ids."""
    path = annotations(tmp_path / "a.json", categories)

    numbers = numbers_of(path, [A, B], CLASSES)

    assert numbers.images == {A: 9, B: 70}
    assert numbers.categories == expected


def test_classes_without_a_category_are_left_out(tmp_path: Path) -> None:
    """They are counted, and an image of which nothing is left is no fault."""
    path = annotations(tmp_path / "a.json", [(3, "Bus")])

    written, left_out = write(tmp_path / "found.json", numbers_of(path, [A, B], CLASSES))

    assert [entry["category_id"] for entry in written] == [3]
    assert left_out == [1, 1]


def test_no_detection_is_an_empty_list(tmp_path: Path) -> None:
    """The file is JSON in any case."""
    with results_writer(tmp_path / "none.json", count_up([A], CLASSES)):
        pass

    assert json.loads((tmp_path / "none.json").read_text()) == []


@pytest.mark.parametrize(
    ("files", "change", "error", "where", "what"),
    [
        ([A, Path("c.jpg")], {}, MismatchError, "c.jpg", "not an image of"),
        ([A, Path("y/a.png")], {}, MismatchError, "y/a.png", "x/a.jpg has the same name"),
        ([A], {"images": 1}, DatasetError, "{file}", "no list of images"),
        ([A], {"categories": []}, MismatchError, "{file}", "no category is one of the 2 classes"),
        ([A], {"images": [{"id": 1, "file_name": "a.jpg", "width": 0, "height": 1}]},
         DatasetError, "{file}: image 1", "width is 0"),
    ],
)  # fmt: skip
def test_what_does_not_belong_together_is_refused(
    tmp_path: Path, files: list[Path], change: dict[str, Any], error: type[Exception],
    where: str, what: str,
) -> None:  # fmt: skip
    """One message names the file, the image or the class."""
    path = annotations(tmp_path / "a.json", [(3, "Bus")], **change)

    with pytest.raises(error, match=what) as raised:
        numbers_of(path, files, CLASSES)

    assert raised.value.where == where.format(file=path)


def test_a_turned_picture_is_refused(tmp_path: Path) -> None:
    """Its boxes would be compared with those of the picture as it is stored; no file is left."""
    numbers = CocoNumbers({A: 1, B: 2}, {"/m/01": 1}, {A: (64, 48), B: (48, 64)})

    with pytest.raises(MismatchError, match="64 x 48 pixels where the annotations say 48 x 64"):
        write(tmp_path / "found.json", numbers)

    assert list(tmp_path.iterdir()) == []
