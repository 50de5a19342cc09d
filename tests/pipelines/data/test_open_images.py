"""Tests for pipelines.data.open_images."""

from pathlib import Path

import pytest

from pipelines.data.annotations import Source
from pipelines.data.box_policy import check_boxes
from pipelines.data.open_images import read_boxes, read_image_label_lines, read_image_labels
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
    assert (table.sources, table.rows.tolist()) == ((Source(box_file),), [2, 3, 4, 5])
    assert table.where(2) == f"{box_file}:4"


def test_groups_are_optional(tmp_path: Path) -> None:
    """Without the column no box is a group, as in Visual Genome's files before conversion."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,0,1,0,1\n")

    assert read_boxes(path).group_of.tolist() == [False]


def test_image_labels_are_present_or_absent(tmp_path: Path) -> None:
    """Confidence 1 says present, 0 says absent."""
    path = tmp_path / "labels.csv"
    path.write_text("ImageID,Source,LabelName,Confidence\ni,v,/m/a,1\ni,v,/m/b,0\n")

    table = read_image_labels(path)

    assert len(table) == 2
    assert table.class_ids == ("/m/a", "/m/b")
    assert table.positive.tolist() == [True, False]
    assert read_image_label_lines(path)[1].tolist() == [2, 3]


def test_boxes_that_are_not_finite_are_read_as_they_are(tmp_path: Path) -> None:
    """What becomes of them is the policy's to say."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,nan,1,0,1\ni,x,/m/a,1,0,1,0,1\n")

    assert len(read_boxes(path, "unchecked")) == 2
    assert read_boxes(path, "clip").rows.tolist() == [3]
    with pytest.raises(DatasetError, match=r"boxes\.csv:2: a corner of a box is not finite"):
        read_boxes(path, "keep")


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


@pytest.mark.real_data
def test_visual_genome_boxes_are_read(real_data: Path) -> None:
    """VG-200 has the paper's 24,690 images, and 57 boxes that need a policy."""
    path = real_data / "open-images" / "vg-annotations-bbox.csv"

    table = read_boxes(path, "keep")

    assert (len(table), len(table.image_ids), len(table.class_ids)) == (39_784, 24_690, 200)
    assert len(check_boxes(table, "drop")) == 39_784 - 57
    assert len(check_boxes(table, "clip")) == 39_784 - 9  # 3 lie wholly outside


@pytest.mark.real_data
def test_the_novel_image_labels_of_open_images(real_data: Path) -> None:
    """The released labels of the 57 novel classes: 28,786 present and 15,699 absent."""
    path = real_data / "open-images" / "novel-annotations-imagelevel_expanded.csv"

    labels = read_image_labels(path)

    assert (len(labels), len(labels.image_ids), len(labels.class_ids)) == (44_485, 27_164, 57)
    assert (int(labels.positive.sum()), int((~labels.positive).sum())) == (28_786, 15_699)
    assert len({labels.image_ids[i] for i in labels.image[~labels.positive]}) == 12_294


@pytest.mark.parametrize("policy", ["error", "clip", "drop"])
def test_boxes_in_pixels_are_refused(tmp_path: Path, policy: str) -> None:
    """Clipped to the image they would all lie in its corner; one far box is only a bad one."""
    path = tmp_path / "boxes.csv"
    path.write_text(f"{HEADER}\ni,x,/m/a,1,10,50,20,60\nj,x,/m/a,1,0.1,0.5,0.2,0.6\n")
    assert len(read_boxes(path, "drop")) == 1

    path.write_text(f"{HEADER}\ni,x,/m/a,1,10,50,20,60\nj,x,/m/a,1,1,5,2,6\nk,x,/m/a,1,0,1,0,1\n")
    with pytest.raises(DatasetError, match=r"boxes\.csv:2: the box \[10.*\n.* not pixels"):
        read_boxes(path, policy)  # type: ignore[arg-type]
