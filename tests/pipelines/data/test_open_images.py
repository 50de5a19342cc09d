"""Tests for pipelines.data.open_images."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.data.open_images import (
    BoxTable,
    PredictionTable,
    check_boxes,
    has_area,
    read_boxes,
    read_image_labels,
    read_predictions,
    write_predictions,
)
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


def test_boxes_are_read_as_columns(box_file: Path) -> None:
    """Corners come as xmin, ymin, xmax, ymax; only 1 marks a group; rows keep their order."""
    table = read_boxes(box_file, "keep")

    assert table.image_ids == ("i1", "i2", "i3")
    assert table.image.tolist() == [1, 0, 2, 0]
    assert [table.class_ids[label] for label in table.label] == ["/m/b", "/m/a", "/m/a", "/m/a"]
    assert table.boxes[:2].tolist() == [[0.1, 0.2, 0.5, 0.6], [0.5, -0.5, 1.25, 0.5]]
    assert table.group_of.tolist() == [True, False, False, False]
    assert (table.source, table.lines.tolist()) == (box_file, [2, 3, 4, 5])


def test_groups_are_optional(tmp_path: Path) -> None:
    """Without the column no box is a group, as in Visual Genome's files before conversion."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,0,1,0,1\n")

    assert read_boxes(path).group_of.tolist() == [False]


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
    assert table.lines.tolist() == [2, 3]
    assert table.image_ids == ("i1", "i2", "i3")


def test_drop_removes_every_bad_box(box_file: Path) -> None:
    """Only boxes that were good as they stood are left."""
    assert read_boxes(box_file, "drop").lines.tolist() == [2]


@given(st.lists(st.lists(st.floats(-1, 2), min_size=4, max_size=4), max_size=8))
def test_clipped_boxes_pass_the_check(corners: list[list[float]]) -> None:
    """Whatever the file holds, nothing is left to refuse after a policy."""
    n = len(corners)
    zeros = np.zeros(n, np.int64)
    boxes = np.array(corners, np.float64).reshape(n, 4)
    table = BoxTable(("i",), zeros, ("c",), zeros, boxes, zeros > 0, Path("b.csv"), zeros)

    for policy in ("clip", "drop"):
        treated = check_boxes(table, policy)
        assert len(check_boxes(treated, "error")) == len(treated)


@given(st.tuples(st.floats(0, 1), st.floats(0, 1e-5) | st.just(1e-12)), st.integers(1, 20_000))
def test_checked_boxes_keep_their_area_in_training(extent: tuple[float, float], width: int) -> None:
    """A box that passed has area in float32 pixels too, also when it is mirrored."""
    start, length = extent
    corners = np.array([[start, 0.25, min(start + length, 1.0), 0.75]])
    zero = np.zeros(1, np.int64)
    table = BoxTable(("i",), zero, ("c",), zero, corners, zero > 0, Path("b.csv"), zero)

    left, right = (check_boxes(table, "drop").boxes[:, [0, 2]].astype(np.float32) * width).T

    assert (left < right).all()
    assert (width - right < width - left).all()


def test_boxes_too_thin_for_training_are_refused(tmp_path: Path) -> None:
    """The metrics keep such a box, as the official evaluators do."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,0.5,0.500000000001,0,1\n")

    assert has_area(read_boxes(path, "keep").boxes).all()
    with pytest.raises(DatasetError, match=r"boxes\.csv:2: a box has no area"):
        read_boxes(path)


def test_image_labels_are_present_or_absent(tmp_path: Path) -> None:
    """Confidence 1 says present, 0 says absent."""
    path = tmp_path / "labels.csv"
    path.write_text("ImageID,Source,LabelName,Confidence\ni,v,/m/a,1\ni,v,/m/b,0\n")

    table = read_image_labels(path)

    assert len(table) == 2
    assert table.class_ids == ("/m/a", "/m/b")
    assert table.positive.tolist() == [True, False]


def test_machine_labels_are_refused(tmp_path: Path) -> None:
    """A confidence in between is no verification."""
    path = tmp_path / "labels.csv"
    path.write_text("ImageID,Source,LabelName,Confidence\ni,v,/m/a,1\ni,machine,/m/b,0.7\n")

    with pytest.raises(DatasetError) as error:
        read_image_labels(path)

    assert str(error.value) == (
        f"{path}:3: Confidence must be 0 or 1, found 0.7\n"
        "Pass the human-verified labels, not the machine-generated ones."
    )


finite = st.floats(allow_nan=False, allow_infinity=False)
prediction_rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), finite, finite, finite, finite, finite)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prediction_rows)
def test_predictions_survive_a_round_trip(
    tmp_path: Path, rows: list[tuple[int, int, float, float, float, float, float]]
) -> None:
    """Every number comes back bit for bit and every row in its place."""
    path = tmp_path / "predictions.csv"
    columns = np.array(rows, np.float64).reshape(len(rows), 7)
    written = PredictionTable(
        ("i", 'j"', "k,l"), columns[:, 0].astype(np.int64),
        ("/m/a", "/m/b"), columns[:, 1].astype(np.int64),
        columns[:, 2], columns[:, 3:],
    )  # fmt: skip

    write_predictions(path, written)

    read = read_predictions(path)
    assert read.score.tobytes() == written.score.tobytes()
    assert read.boxes.tobytes() == written.boxes.tobytes()
    assert [read.image_ids[i] for i in read.image] == [written.image_ids[i] for i in written.image]
    assert [read.class_ids[i] for i in read.label] == [written.class_ids[i] for i in written.label]


def test_predictions_have_the_layout_of_the_challenge(tmp_path: Path) -> None:
    """The header and the order of the corners are those of a submission."""
    path = tmp_path / "new" / "predictions.csv"
    zero = np.zeros(1, np.int64)
    corners = np.array([[0.1, 0.2, 0.3, 0.4]])

    write_predictions(path, PredictionTable(("i",), zero, ("/m/a",), zero, np.ones(1), corners))

    assert path.read_text() == (
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\ni,/m/a,1.0,0.1,0.3,0.2,0.4\n"
    )


@pytest.mark.real_data
def test_visual_genome_boxes_are_read(real_data: Path) -> None:
    """VG-200 has the paper's 24,690 images, and 52 boxes that need a policy."""
    path = real_data / "open-images" / "vg-annotations-bbox.csv"

    table = read_boxes(path, "keep")

    assert (len(table), len(table.image_ids), len(table.class_ids)) == (39_784, 24_690, 200)
    assert len(check_boxes(table, "drop")) == 39_784 - 52


@pytest.mark.real_data
def test_the_novel_image_labels_of_open_images(real_data: Path) -> None:
    """The released labels of the 57 novel classes: 28,786 present and 15,699 absent."""
    path = real_data / "open-images" / "novel-annotations-imagelevel_expanded.csv"

    labels = read_image_labels(path)

    assert (len(labels), len(labels.image_ids), len(labels.class_ids)) == (44_485, 27_164, 57)
    assert (int(labels.positive.sum()), int((~labels.positive).sum())) == (28_786, 15_699)
    assert len({labels.image_ids[i] for i in labels.image[~labels.positive]}) == 12_294
