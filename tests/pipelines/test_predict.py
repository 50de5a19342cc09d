"""Tests for pipelines.predict: which files are read, what is reported, and how it is drawn."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.artifacts import DetectionHead
from pipelines.drawing import COLOURS
from pipelines.errors import ConfigError, DatasetError
from pipelines.predict import Prediction, predict_images

LOGIT = 3.0
SCORE = 1 / (1 + math.exp(-LOGIT))


def certain_of(artifacts: SimpleNamespace, class_id: str, folder: Path) -> Path:
    """Write a head that gives every proposal this class with ``SCORE``, and no other class."""
    head = DetectionHead.load(artifacts.head)
    bias = torch.full_like(head.bias, -50.0)
    bias[head.vocabulary.rows([class_id])] = LOGIT
    path = folder / "certain.safetensors"
    replace(head, weight=torch.zeros_like(head.weight), bias=bias).save(path)
    return path


def predict(
    artifacts: SimpleNamespace, head: Path | None, *images: Path, **options: object
) -> list[Prediction]:
    """Predict on the CPU."""
    return list(predict_images(artifacts.checkpoint, head, images, device="cpu", **options))


def colours_in(picture: Path) -> set[str]:
    """Return the groups whose colour is in a picture."""
    pixels = set(map(tuple, np.asarray(Image.open(picture)).reshape(-1, 3).tolist()))
    rgb = {group: tuple(bytes.fromhex(colour[1:])) for group, colour in COLOURS.items()}
    return {group for group, colour in rgb.items() if colour in pixels}


@pytest.mark.parametrize(
    ("class_id", "name", "group"),
    [("/m/01", "Bus", "seen"), ("/m/07", "Cat", "novel"), ("/m/025", "/m/025", "other")],
)
def test_a_class_is_drawn_in_the_colour_of_its_group(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path,
    class_id: str, name: str, group: str,
) -> None:  # fmt: skip
    """Detections carry id, name and group; seen classes are drawn blue, novel ones red."""
    head = certain_of(artifacts, class_id, tmp_path)

    (found,) = predict(artifacts, head, world.images / "img0.jpg", save=tmp_path / "drawn")

    assert {(d.label, d.name, d.group) for d in found.detections} == {(class_id, name, group)}
    assert found.picture == tmp_path / "drawn" / "img0.png"
    assert colours_in(found.picture) == {group}


def test_the_novel_colour_is_red_and_the_seen_colour_blue() -> None:
    """The colours are those of the paper's figure."""
    channels = {group: bytes.fromhex(colour[1:]) for group, colour in COLOURS.items()}

    assert max(channels["seen"]) == channels["seen"][2]
    assert max(channels["novel"]) == channels["novel"][0]


def test_without_a_head_it_is_computed(artifacts: SimpleNamespace, world: SimpleNamespace) -> None:
    """The detections are those of the head that export-head writes."""
    image = world.images / "img0.jpg"

    computed = predict(artifacts, None, image, score_threshold=0.0)

    assert computed == predict(artifacts, artifacts.head, image, score_threshold=0.0)
    assert computed[0].detections


@pytest.mark.parametrize(("threshold", "found"), [(SCORE - 0.01, True), (SCORE + 0.01, False)])
def test_only_scores_above_the_threshold_are_reported(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path,
    threshold: float, found: bool,
) -> None:  # fmt: skip
    """The threshold decides, not the detector's own lower one; a picture is drawn in any case."""
    head = certain_of(artifacts, "/m/01", tmp_path)

    (prediction,) = predict(
        artifacts, head, world.images / "img0.jpg", score_threshold=threshold, save=tmp_path
    )

    assert bool(prediction.detections) == found
    assert all(d.score == pytest.approx(SCORE, abs=1e-6) for d in prediction.detections)
    assert prediction.picture.is_file()


def test_left_out_classes_are_not_looked_for(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Choosing novel classes leaves the seen ones unfound, however certain the head is."""
    head = certain_of(artifacts, "/m/01", tmp_path)

    (found,) = predict(artifacts, head, world.images / "img0.jpg", classes="novel")

    assert found.detections == ()


def test_a_folder_stands_for_its_images(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Its images are taken in order, other and hidden files are not, and none is taken twice."""
    for image in world.images.iterdir():
        (tmp_path / image.name).write_bytes(image.read_bytes())
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._img0.jpg").write_text("what macOS leaves beside an image")
    (tmp_path / "img9.jpg").mkdir()
    first = tmp_path / "img0.jpg"

    found = predict(artifacts, artifacts.head, tmp_path, first, batch_size=4)

    assert [p.image for p in found] == [
        tmp_path / f"img{i}.{'png' if i % 2 else 'jpg'}" for i in range(6)
    ]
    assert len(found) == 6


def test_boxes_are_in_pixels_of_the_picture(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """Width and height are those of the file, and boxes lie inside, best first."""
    Image.linear_gradient("L").resize((90, 40)).save(tmp_path / "wide.png")
    head = certain_of(artifacts, "/m/01", tmp_path)

    (found,) = predict(artifacts, head, tmp_path / "wide.png")

    assert (found.width, found.height) == (90, 40)
    boxes = torch.tensor([d.box for d in found.detections])
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([90.0, 40, 90, 40])).all()
    assert boxes[:, 2].max() > 64  # the resized image is 64 pixels high, 144 wide
    scores = [d.score for d in found.detections]
    assert scores == sorted(scores, reverse=True)


def test_bad_pictures_are_named(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """A file that is missing or does not decode is named; a folder without images too."""
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty").mkdir()

    for name in ("bad.jpg", "none.jpg", "empty"):
        with pytest.raises(DatasetError) as error:
            predict(artifacts, artifacts.head, tmp_path / name)
        assert error.value.where == str(tmp_path / name)


def test_pictures_do_not_overwrite_each_other(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """Two files that would be drawn under one name are refused before anything is drawn."""
    (tmp_path / "img0.png").write_bytes((world.images / "img1.png").read_bytes())
    images = (world.images / "img0.jpg", tmp_path / "img0.png")

    with pytest.raises(ConfigError, match=r"would both be drawn as img0\.png"):
        predict(artifacts, artifacts.head, *images, save=tmp_path / "drawn")

    assert not (tmp_path / "drawn").exists()
    assert len(predict(artifacts, artifacts.head, *images)) == 2


@pytest.mark.parametrize("folder", [".", "../link"])
def test_the_given_pictures_are_not_overwritten(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path, folder: str
) -> None:
    """Saving beside a picture of that name is refused, also through a link, and it stays."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (tmp_path / "link").symlink_to(pictures)
    content = (world.images / "img1.png").read_bytes()
    (pictures / "img1.png").write_bytes(content)

    with pytest.raises(ConfigError, match="would overwrite a picture") as error:
        predict(artifacts, artifacts.head, pictures, save=pictures / folder)

    assert "another folder" in str(error.value)
    assert [file.read_bytes() for file in pictures.iterdir()] == [content]


def test_photos_are_turned_upright(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """A photo taken with the camera held upright has the size that a viewer shows."""
    exif = Image.Exif()
    exif[274] = 6  # EXIF orientation: turn by 90 degrees
    Image.new("RGB", (90, 40)).save(tmp_path / "photo.jpg", exif=exif)

    (found,) = predict(artifacts, artifacts.head, tmp_path / "photo.jpg")

    assert (found.width, found.height) == (40, 90)


@pytest.mark.parametrize("size", [(3000, 1), (1, 3000)])
def test_a_picture_too_thin_to_resize_is_named(
    artifacts: SimpleNamespace, tmp_path: Path, size: tuple[int, int]
) -> None:
    """What would vanish in the detector's resizing is refused; a little thicker will do."""
    Image.new("RGB", size).save(tmp_path / "thin.png")
    Image.new("RGB", (size[0] + 2, size[1] + 2)).save(tmp_path / "thick.png")

    with pytest.raises(DatasetError, match="too thin") as error:
        predict(artifacts, artifacts.head, tmp_path / "thin.png")

    assert error.value.where == str(tmp_path / "thin.png")
    assert len(predict(artifacts, artifacts.head, tmp_path / "thick.png")) == 1
