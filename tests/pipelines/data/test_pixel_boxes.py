"""Tests for pipelines.data.pixel_boxes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.annotations import Source
from pipelines.data.pixel_boxes import PixelBoxes
from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(("z", "a"), ("Zebra", "Ant"))
SIZES = np.array([[100, 50], [30, 60]])  # of images "late" and "early"; height first


def pixel_boxes(corners: list[list[float]], image: list[int], label: list[int]) -> PixelBoxes:
    """Return boxes whose rows are 10, 11, 12, ..."""
    n = len(corners)
    return PixelBoxes(
        Source(Path("boxes.json"), "annotation"),
        rows=np.arange(10, 10 + n),
        image=np.array(image, np.int64),
        label=np.array(label, np.int64),
        corners=np.array(corners, np.float64).reshape(-1, 4),
        group_of=np.arange(n) == 1,
        area=np.arange(n, dtype=np.float64),
    )


def test_boxes_become_fractions_by_image() -> None:
    """Images are sorted with their sizes, boxes follow, and the class order is kept."""
    corners = [[0, 0, 25, 100], [6, 3, 60, 30], [5, 10, 10, 20]]
    boxes = pixel_boxes(corners, [0, 1, 0], [0, 1, 1])

    annotations = boxes.annotate(["late", "early"], SIZES, CLASSES, "error")

    table = annotations.boxes
    assert annotations.image_ids == table.image_ids == ("early", "late")
    assert annotations.sizes.tolist() == [[30, 60], [100, 50]]
    assert annotations.sizes.dtype == np.int32
    assert annotations.vocabulary == CLASSES
    assert annotations.labels is None
    assert table.class_ids == ("a", "z")
    assert table.image.tolist() == [0, 1, 1]
    assert table.label.tolist() == [0, 1, 0]
    assert table.boxes.tolist() == [[0.1, 0.1, 1, 1], [0, 0, 0.5, 1], [0.1, 0.1, 0.2, 0.2]]
    assert table.rows.tolist() == [11, 10, 12]
    assert table.group_of.tolist() == [True, False, False]
    assert table.area is not None
    assert table.area.tolist() == [1, 0, 2]
    assert table.where(0) == "boxes.json: annotation 11"


def test_rounding_does_not_leave_the_image() -> None:
    """A corner two hundredths of a pixel outside is on the border; a tenth is outside."""
    near = pixel_boxes([[-0.01, 0, 50.01, 100]], [0], [0])
    far = pixel_boxes([[0, 0, 50.1, 100]], [0], [0])

    assert near.annotate(["i"], SIZES[:1], CLASSES, "error").boxes.boxes.tolist() == [[0, 0, 1, 1]]
    with pytest.raises(DatasetError, match="a box leaves the image"):
        far.annotate(["i"], SIZES[:1], CLASSES, "error")
    assert len(far.annotate(["i"], SIZES[:1], CLASSES, "drop").boxes) == 0
    assert far.annotate(["i"], SIZES[:1], CLASSES, "keep").boxes.boxes[0, 2] == 50.1 / 50


def test_no_box_is_fine() -> None:
    """Images stay without any box."""
    annotations = pixel_boxes([], [], []).annotate(["i"], SIZES[:1], CLASSES, "error")

    assert (annotations.image_ids, len(annotations.boxes)) == (("i",), 0)


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 1)), max_size=20), st.permutations("abcde")
)
def test_the_order_of_images_changes_nothing(rows: list[tuple[int, int]], ids: list[str]) -> None:
    """Every box keeps its image, class and size, and boxes of one image keep their order."""
    sizes = np.arange(1, 11).reshape(5, 2) * 10
    corners = [[1.0, 2.0, 3.0, 4.0 + row] for row in range(len(rows))]
    boxes = pixel_boxes(corners, [i for i, _ in rows], [c for _, c in rows])

    annotations = boxes.annotate(ids, sizes, CLASSES, "keep")

    table = annotations.boxes
    found = [
        (int(row) - 10, table.image_ids[image], table.class_ids[label])
        for row, image, label in zip(table.rows, table.image, table.label, strict=True)
    ]
    given_rows = [(row, ids[i], CLASSES.ids[c]) for row, (i, c) in enumerate(rows)]
    assert found == sorted(given_rows, key=lambda entry: entry[1])
    back = table.boxes * annotations.sizes[table.image][:, [1, 0, 1, 0]]
    np.testing.assert_allclose(back, np.array(corners).reshape(-1, 4)[table.rows - 10], atol=0.021)
