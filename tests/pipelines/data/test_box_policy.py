"""Tests for pipelines.data.box_policy."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.annotations import BoxTable, Source
from pipelines.data.box_policy import check_boxes, has_area
from pipelines.data.open_images import read_boxes
from pipelines.errors import DatasetError

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"


@pytest.fixture
def box_file(tmp_path: Path) -> Path:
    """Return a file with one good box on line 2, then one outside, one flat, one far away."""
    path = tmp_path / "boxes.csv"
    path.write_text(
        f"{HEADER},IsGroupOf\n"
        "i2,xclick,/m/b,1,0.1,0.5,0.2,0.6,1\n"
        "i1,xclick,/m/a,1,0.5,1.25,-0.5,0.5,0\n"
        "i3,xclick,/m/a,1,0.5,0.5,0.2,0.6,0\n"
        "i1,xclick,/m/a,1,1.5,1.75,0.2,0.6,-1\n"
    )
    return path


def test_a_box_outside_the_image_is_refused(box_file: Path) -> None:
    """The message names the line, the corners, how many there are, and the two ways out."""
    with pytest.raises(DatasetError) as error:
        read_boxes(box_file)

    assert str(error.value) == (
        f"{box_file}:3: a box leaves the image (XMin 0.5, YMin -0.5, XMax 1.25, YMax 0.5); "
        "3 of 4 boxes are bad\n"
        "Correct the file, or pass --box-policy clip or --box-policy drop."
    )


def test_a_box_without_area_is_refused(box_file: Path) -> None:
    """It is told apart from one that leaves the image."""
    table = read_boxes(box_file, "keep").select(np.array([0, 2]))

    with pytest.raises(DatasetError, match=r"boxes\.csv:4: a box has no area \(XMin 0\.5, "):
        check_boxes(table, "error")


def test_clip_keeps_what_lies_in_the_image(box_file: Path) -> None:
    """What has no area afterwards goes; the images stay."""
    table = read_boxes(box_file, "clip")

    assert table.boxes.tolist() == [[0.1, 0.2, 0.5, 0.6], [0.5, 0.0, 1.0, 0.5]]
    assert table.rows.tolist() == [2, 3]
    assert table.image_ids == ("i1", "i2", "i3")


def test_drop_removes_every_bad_box(box_file: Path) -> None:
    """Only boxes that were good as they stood are left."""
    assert read_boxes(box_file, "drop").rows.tolist() == [2]


@given(st.lists(st.lists(st.floats(-1, 2), min_size=4, max_size=4), max_size=8))
def test_clipped_boxes_pass_the_check(corners: list[list[float]]) -> None:
    """Whatever the file holds, nothing is left to refuse after a policy."""
    table = _table(np.array(corners, np.float64).reshape(-1, 4))

    for policy in ("clip", "drop"):
        treated = check_boxes(table, policy)
        assert len(check_boxes(treated, "error")) == len(treated)


@given(st.tuples(st.floats(0, 1), st.floats(0, 1e-5) | st.just(1e-12)), st.integers(1, 20_000))
def test_checked_boxes_keep_their_area_in_training(extent: tuple[float, float], width: int) -> None:
    """A box that passed has area in float32 pixels too, also when it is mirrored."""
    start, length = extent
    corners = np.array([[start, 0.25, min(start + length, 1.0), 0.75]])

    left, right = (
        check_boxes(_table(corners), "drop").boxes[:, [0, 2]].astype(np.float32) * width
    ).T

    assert (left < right).all()
    assert (width - right < width - left).all()


def test_boxes_too_thin_for_training_are_refused(tmp_path: Path) -> None:
    """The metrics keep such a box, as the official evaluators do."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,0.5,0.500000000001,0,1\n")

    assert has_area(read_boxes(path, "keep").boxes).all()
    with pytest.raises(DatasetError, match=r"boxes\.csv:2: a box has no area"):
        read_boxes(path)


def _table(corners: np.ndarray) -> BoxTable:
    """Return boxes of one class in one image."""
    zeros = np.zeros(len(corners), np.int64)
    columns = {"image": zeros, "label": zeros, "boxes": corners, "group_of": zeros > 0}
    return BoxTable.of(
        Source(Path("boxes.csv")), zeros, image_ids=("i",), class_ids=("c",), **columns
    )
