"""Tests for pipelines.data.labelled_images."""

from pathlib import Path

import pytest
from PIL import Image

from pipelines.data.images import ImageStore, open_images
from pipelines.data.labelled_images import ClassImages, read_class_images
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(tuple("cab"), tuple("CAB"))
LABELS = (
    ("i2", "a", 1),
    ("i1", "b", 1),
    ("i1", "a", 1),
    ("i1", "a", 1),  # twice
    ("i3", "a", 1),
    ("i3", "c", 0),  # verified to be absent
    ("i4", "z", 1),  # no class of the classifier
    ("i9", "b", 1),  # no such image
)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    """Return images i1 to i4."""
    for number in range(1, 5):
        Image.new("RGB", (2, 2)).save(tmp_path / f"i{number}.png")
    return open_images(tmp_path)


def read(folder: Path, store: ImageStore, limit: int | None = None) -> ClassImages:
    """Write the labels and read them."""
    path = folder / "labels.csv"
    rows = "".join(f"{image},{label},{present}\n" for image, label, present in LABELS)
    path.write_text(f"ImageID,LabelName,Confidence\n{rows}")
    return read_class_images(path, CLASSES, store, limit)


def pairs(found: ClassImages) -> list[tuple[str, str]]:
    """Return image and class of each label."""
    return [
        (found.image_ids[image], CLASSES.ids[found.rows[label]])
        for image, label in zip(found.image.tolist(), found.label.tolist(), strict=True)
    ]


def test_positive_labels_of_known_classes_and_images_count(
    tmp_path: Path, store: ImageStore
) -> None:
    """By image, each label once; a class without images has no row."""
    found = read(tmp_path, store)

    assert pairs(found) == [("i1", "a"), ("i1", "b"), ("i2", "a"), ("i3", "a")]
    assert found.rows == (1, 2)
    assert found.missing == 1


def test_a_limit_keeps_the_first_images_of_each_class(tmp_path: Path, store: ImageStore) -> None:
    """An image stays as long as one of its classes has it among the first."""
    assert pairs(read(tmp_path, store, limit=1)) == [("i1", "a"), ("i1", "b")]
    assert pairs(read(tmp_path, store, limit=2)) == [("i1", "a"), ("i1", "b"), ("i2", "a")]


def test_labels_of_other_classes_are_refused(tmp_path: Path, store: ImageStore) -> None:
    """If no label is of the classifier's classes, they were not meant for each other."""
    (tmp_path / "labels.csv").write_text("ImageID,LabelName,Confidence\ni1,z,1\ni1,a,0\n")

    with pytest.raises(MismatchError, match="no image is verified to show one of the 3 classes"):
        read_class_images(tmp_path / "labels.csv", CLASSES, store)


def test_images_of_other_labels_are_refused(tmp_path: Path, store: ImageStore) -> None:
    """If no labelled image is at hand, the images are of another dataset."""
    (tmp_path / "labels.csv").write_text("ImageID,LabelName,Confidence\ni8,a,1\ni9,b,1\n")

    with pytest.raises(DatasetError, match="none of the 2 images that show a class is here"):
        read_class_images(tmp_path / "labels.csv", CLASSES, store)
