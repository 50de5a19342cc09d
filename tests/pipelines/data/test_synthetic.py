"""Tests for pipelines.data.synthetic."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.data.open_images import BoxTable, read_boxes
from pipelines.data.synthetic import draw_sizes, write_synthetic_boxes
from pipelines.errors import ConfigError

CLASS_IDS = [f"/m/{number}" for number in range(5, 105)]


@pytest.fixture(scope="module")
def boxes_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of 20,000 boxes."""
    path = tmp_path_factory.mktemp("synthetic") / "boxes.csv"
    write_synthetic_boxes(path, CLASS_IDS, rows=20_000, images=2_500)
    return path


@pytest.fixture(scope="module")
def boxes(boxes_csv: Path) -> BoxTable:
    """Return the boxes, none of which the reader refuses."""
    return read_boxes(boxes_csv, policy="error")


def test_the_file_has_as_many_boxes_and_images_as_asked(boxes: BoxTable) -> None:
    """Each image has a box, and the images are in order."""
    assert len(boxes) == 20_000
    assert len(boxes.image_ids) == 2_500
    assert all(len(image_id) == 16 and int(image_id, 16) >= 0 for image_id in boxes.image_ids)
    assert (np.diff(boxes.image) >= 0).all()


def test_few_images_and_few_classes_have_most_boxes(boxes: BoxTable) -> None:
    """The largest share is several times the mean one, the least far below it."""
    per_image = np.bincount(boxes.image)
    per_class = np.bincount(boxes.label)

    assert per_image.min() < 3 < 32 < per_image.max()
    assert per_class.min() < 40 < 800 < per_class.max()
    assert set(boxes.class_ids) <= set(CLASS_IDS)


def test_no_box_is_there_twice(boxes: BoxTable) -> None:
    """All boxes of an image differ."""
    rows = np.column_stack([boxes.image, boxes.label, boxes.boxes])

    assert len(np.unique(rows, axis=0)) == len(boxes)


def test_a_few_boxes_hold_groups(boxes: BoxTable) -> None:
    """About one in twenty does."""
    assert 0.03 < boxes.group_of.mean() < 0.07


def test_the_columns_are_the_official_ones(boxes_csv: Path) -> None:
    """A row has thirteen fields, and coordinates have six decimals."""
    header, row, *_ = boxes_csv.read_text().splitlines()

    assert header == (
        "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
        "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
    )
    fields = row.split(",")
    assert fields[1] == "xclick"
    assert fields[3] == "1"
    assert all(len(field) == 8 and field[1] == "." for field in fields[4:8])
    assert set(fields[8:]) <= {"0", "1"}
    assert len(fields) == 13


def test_the_seed_makes_the_file(boxes_csv: Path, tmp_path: Path) -> None:
    """The same seed writes the same bytes, another one other bytes."""
    write_synthetic_boxes(tmp_path / "same.csv", CLASS_IDS, rows=20_000, images=2_500)
    write_synthetic_boxes(tmp_path / "other.csv", CLASS_IDS, rows=20_000, images=2_500, seed=1)

    assert (tmp_path / "same.csv").read_bytes() == boxes_csv.read_bytes()
    assert (tmp_path / "other.csv").read_bytes() != boxes_csv.read_bytes()


def test_chunks_share_the_frequent_class(tmp_path: Path) -> None:
    """The class that is frequent in the first images is so in the last."""
    write_synthetic_boxes(tmp_path / "b.csv", CLASS_IDS, rows=140_000, images=70_000)

    label = read_boxes(tmp_path / "b.csv").label

    assert np.bincount(label[:5_000]).argmax() == np.bincount(label).argmax()
    assert np.bincount(label[-5_000:]).argmax() == np.bincount(label).argmax()


def test_sizes_are_of_both_shapes() -> None:
    """Some images are wide and fewer are high, and the seed makes them."""
    sizes = draw_sizes(1_000)

    assert sizes.dtype == np.int32
    assert (sizes.max(axis=1) == 1024).all()
    assert (sizes.min(axis=1) >= 576).all()
    assert 0.65 < (sizes[:, 1] > sizes[:, 0]).mean() < 0.85
    np.testing.assert_array_equal(sizes, draw_sizes(1_000))
    assert (sizes != draw_sizes(1_000, seed=1)).any()


@pytest.mark.parametrize(("rows", "images", "classes"), [(2, 3, 1), (1, 0, 1), (1, 1, 0)])
def test_an_impossible_size_is_refused(
    tmp_path: Path, rows: int, images: int, classes: int
) -> None:
    """Images without boxes and boxes without a class cannot be written."""
    with pytest.raises(ConfigError, match="cannot spread"):
        write_synthetic_boxes(tmp_path / "b.csv", CLASS_IDS[:classes], rows=rows, images=images)

    assert not (tmp_path / "b.csv").exists()
