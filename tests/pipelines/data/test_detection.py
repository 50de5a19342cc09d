"""Tests for pipelines.data.detection and pipelines.data.images."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.annotations import BoxTable
from pipelines.data.detection import DetectionDataset
from pipelines.data.images import open_images
from pipelines.data.open_images import read_boxes
from pipelines.data.samplers import Sample
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

HEADER = "ImageID,LabelName,XMin,XMax,YMin,YMax\n"
VOCABULARY = Vocabulary(("cat", "dog"), ("Cat", "Dog"))


@pytest.fixture
def table(tmp_path: Path) -> BoxTable:
    """Return three boxes of two images."""
    path = tmp_path / "boxes.csv"
    path.write_text(HEADER + "two,dog,0.25,0.5,0,1\none,cat,0,0.5,0.5,1\ntwo,cat,0,1,0,0.5\n")
    return read_boxes(path)


def encoded(width: int, height: int, kind: str = "png") -> bytes:
    """Return an image that is red on the left half and blue on the right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[:, : width // 2, 0] = 255
    pixels[:, width // 2 :, 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder of two images, one of them in a subfolder."""
    images = tmp_path / "images"
    (images / "deeper").mkdir(parents=True)
    (images / "one.png").write_bytes(encoded(8, 4))
    (images / "deeper" / "two.jpg").write_bytes(encoded(16, 8, "jpeg"))
    (images / "notes.txt").write_text("not an image")
    return images


def test_boxes_come_in_pixels_with_labels_from_one(folder: Path, table: BoxTable) -> None:
    """Fractions become pixels of the image; 0 is left to background."""
    dataset = DetectionDataset(open_images(folder), table, VOCABULARY)

    image, target, image_id, skipped = dataset[Sample(1, flip=False)]

    assert [table.image_ids[i] for i in dataset.image] == ["one", "two"]
    assert (image_id, skipped) == ("two", ())
    assert (image.shape, image.dtype) == ((3, 8, 16), torch.uint8)
    assert target["boxes"].tolist() == [[4, 0, 8, 8], [0, 0, 16, 4]]
    assert target["labels"].tolist() == [2, 1]


def test_mirroring_moves_boxes_with_pixels(folder: Path, table: BoxTable) -> None:
    """The red half and its box change sides together."""
    dataset = DetectionDataset(open_images(folder), table, VOCABULARY)

    image, target, *_ = dataset[Sample(0, flip=True)]

    assert image[0, 0].tolist() == [0, 0, 0, 0, 255, 255, 255, 255]
    assert target["boxes"].tolist() == [[4, 2, 8, 4]]


def test_a_class_outside_the_list_names_its_row(folder: Path, table: BoxTable) -> None:
    """The file and the line of the first such box are named."""
    with pytest.raises(MismatchError, match=r"boxes.csv:3: class 'cat' is not among the 1 classes"):
        DetectionDataset(open_images(folder), table, Vocabulary(("dog",), ("Dog",)))


def test_missing_images_are_counted(folder: Path, table: BoxTable) -> None:
    """Before training starts, the first missing image and their number are told."""
    (folder / "one.png").unlink()

    with pytest.raises(DatasetError, match="1 of 2 images with boxes are missing, first 'one'"):
        DetectionDataset(open_images(folder), table, VOCABULARY)


def test_zip_and_folder_read_alike(folder: Path, tmp_path: Path) -> None:
    """An image has the same pixels from a zip file, wherever it lies in it."""
    archive = tmp_path / "images.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*.*"):
            file.write(path, f"top/{path.relative_to(folder)}")

    zipped, plain = open_images(archive), open_images(folder)

    assert list(zipped.ids) == list(plain.ids) == ["one", "two"]
    for image_id in plain.ids:
        assert torch.equal(zipped.read(image_id), plain.read(image_id))


@pytest.mark.parametrize("content", [b"", b"not an image", encoded(64, 64)[:60]])
def test_an_image_that_does_not_decode_is_named(folder: Path, content: bytes) -> None:
    """Empty, foreign or truncated: the message names the file."""
    (folder / "one.png").write_bytes(content)

    with pytest.raises(DatasetError, match=r"one.png: the image does not decode"):
        open_images(folder).read("one")


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere", "no such"), ("empty", "no images"), ("file", "not a folder")]
)
def test_a_bad_source_is_refused(tmp_path: Path, name: str, message: str) -> None:
    """A missing, an empty and a foreign source are told apart."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")

    with pytest.raises(DatasetError, match=message):
        open_images(tmp_path / name)
