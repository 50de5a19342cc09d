"""Tests for pipelines.data.box_policy."""

import math
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.config import BoxPolicy
from pipelines.data import box_policy
from pipelines.data.annotations import BoxTable, Source
from pipelines.data.box_policy import BoxFaults, box_faults, check_boxes, has_area
from pipelines.data.open_images import read_boxes
from pipelines.errors import DatasetError

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax"
MENDING = [policy for policy in get_args(BoxPolicy) if policy != "error"]
GOOD = (0.1, 0.2, 0.5, 0.6)

corner = st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 1.5, -0.5, 1e300]) | st.floats()
rows = st.tuples(st.integers(0, 2), st.integers(0, 1), st.tuples(*[corner] * 4), st.booleans())


@pytest.fixture
def box_file(tmp_path: Path) -> Path:
    """Return a file with a good box on line 2, then one outside, one flat, one far away, a copy."""
    path = tmp_path / "boxes.csv"
    path.write_text(
        f"{HEADER},IsGroupOf\n"
        "i2,xclick,/m/b,1,0.1,0.5,0.2,0.6,1\n"
        "i1,xclick,/m/a,1,0.5,1.25,-0.5,0.5,0\n"
        "i3,xclick,/m/a,1,0.5,0.5,0.2,0.6,0\n"
        "i1,xclick,/m/a,1,1.5,1.75,0.2,0.6,-1\n"
        "i2,activemil,/m/b,1,0.1,0.5,0.2,0.6,1\n"
    )
    return path


def test_bad_boxes_are_refused(box_file: Path) -> None:
    """The message names the first line, the corners, how many of each kind, and the ways out."""
    with pytest.raises(DatasetError) as error:
        read_boxes(box_file)

    assert str(error.value) == (
        f"{box_file}:3: a box leaves the image (XMin 0.5, YMin -0.5, XMax 1.25, YMax 0.5); "
        "4 of 5 boxes are bad: 2 outside, 1 degenerate, 1 duplicate\n"
        "Correct the file, or pass --policy clip or --policy drop."
    )


@pytest.mark.parametrize(
    ("row", "line", "said"),
    [
        (2, 4, r"a box has no area \(XMin 0\.5, "),
        (4, 6, r"a box is a copy of an earlier one \(XMin 0\.1, "),
    ],
)
def test_the_kinds_are_told_apart(box_file: Path, row: int, line: int, said: str) -> None:
    """A box without area and a copy are named as such."""
    table = read_boxes(box_file, "keep").select(np.array([0, row]))

    with pytest.raises(DatasetError, match=rf"boxes\.csv:{line}: {said}"):
        check_boxes(table, "error")


def test_every_fault_is_found_where_it_is() -> None:
    """A box may leave the image and have no area; one that is not finite has no other fault."""
    nan, inf = math.nan, math.inf
    table = _table(
        [
            (0, 0, GOOD, False),
            (0, 0, (nan, 0.2, 0.5, 0.6), False),
            (0, 0, (0.1, 0.2, inf, 0.6), False),
            (0, 0, (1.5, 0.2, 1.2, 0.6), False),
            (0, 0, (nan, 0.2, 0.5, 0.6), False),
            (0, 0, (0.1, 0.2, inf, 0.6), False),
        ]
    )

    faults = box_faults(table)

    assert np.flatnonzero(faults.not_finite).tolist() == [1, 2, 4, 5]
    assert np.flatnonzero(faults.outside).tolist() == [3]
    assert np.flatnonzero(faults.degenerate).tolist() == [3]
    assert not faults.duplicate.any()


def test_a_copy_agrees_in_everything() -> None:
    """Image, class, corners and group flag must all be equal; the first is no copy."""
    table = _table(
        [
            (0, 0, (0.0, 0.2, 0.5, 0.6), False),
            (1, 0, (0.0, 0.2, 0.5, 0.6), False),
            (0, 1, (0.0, 0.2, 0.5, 0.6), False),
            (0, 0, (0.0, 0.2, 0.5, 0.6), True),
            (0, 0, (0.0, 0.2, 0.5, np.nextafter(0.6, 1)), False),
            (0, 0, (-0.0, 0.2, 0.5, 0.6), False),
            (0, 0, (0.0, 0.2, 0.5, 0.6), False),
        ]
    )

    assert np.flatnonzero(box_faults(table).duplicate).tolist() == [5, 6]


@given(st.lists(rows, max_size=12))
@pytest.mark.parametrize("shared_digest", [False, True])
def test_copies_are_those_that_a_set_finds(shared_digest: bool, drawn: list[Any]) -> None:
    """They are exact even if all boxes have one digest, and whatever is computed at once."""
    table = _table(drawn)
    seen: set[Any] = set()
    expected = []
    for row in drawn:
        expected.append(row in seen and all(map(math.isfinite, row[2])))
        seen.add(row)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box_policy, "_ROWS_AT_ONCE", 5)
        if shared_digest:
            patch.setattr(box_policy, "_digests", lambda table: np.zeros(len(table), np.uint64))
        assert box_faults(table).duplicate.tolist() == expected


def test_clip_keeps_what_lies_in_the_image(box_file: Path) -> None:
    """What has no area afterwards goes, as do copies; the images stay."""
    table = read_boxes(box_file, "clip")

    assert table.boxes.tolist() == [[0.1, 0.2, 0.5, 0.6], [0.5, 0.0, 1.0, 0.5]]
    assert table.rows.tolist() == [2, 3]
    assert table.image_ids == ("i1", "i2", "i3")


def test_clip_drops_what_becomes_a_copy() -> None:
    """Two boxes that differ only outside the image are one box inside it."""
    table = _table([(0, 0, (0.5, 0, 1.5, 1), False), (0, 0, (0.5, 0, 1.25, 1), False)])

    assert not box_faults(table).duplicate.any()
    assert check_boxes(table, "clip").rows.tolist() == [0]


def test_clip_does_not_make_an_infinite_box_whole() -> None:
    """A corner at infinity is a broken number, not the image's edge."""
    assert len(check_boxes(_table([(0, 0, (0.5, 0, math.inf, 1), False)]), "clip")) == 0


def test_drop_removes_every_bad_box(box_file: Path) -> None:
    """Only boxes that were good as they stood are left."""
    assert read_boxes(box_file, "drop").rows.tolist() == [2]


@pytest.mark.parametrize("policy", ["error", "keep"])
def test_a_box_that_is_not_finite_has_no_place_anywhere(policy: box_policy.ReadPolicy) -> None:
    """No metric can rank it, so evaluation refuses it too."""
    table = _table([(0, 0, GOOD, False), (0, 0, (math.nan, 0, 1, 1), False)])

    with pytest.raises(DatasetError, match=r"boxes\.csv:1: a corner of a box is not finite .XMin"):
        check_boxes(table, policy)
    assert check_boxes(table, "unchecked") is table


@given(st.lists(rows, max_size=8), st.sampled_from(MENDING))
def test_treated_boxes_have_no_fault(drawn: list[Any], policy: BoxPolicy) -> None:
    """Whatever the file holds, nothing is left to find after a policy, and it may be repeated."""
    treated = check_boxes(_table(drawn), policy)

    assert not box_faults(treated).any.any()
    assert check_boxes(treated, "error").rows.tolist() == treated.rows.tolist()
    again = check_boxes(treated, policy)
    np.testing.assert_array_equal(again.boxes, treated.boxes)
    assert again.rows.tolist() == treated.rows.tolist()


@given(st.lists(rows, max_size=8), st.sampled_from(MENDING))
def test_treating_in_place_changes_only_where(drawn: list[Any], policy: BoxPolicy) -> None:
    """The boxes are the same bit for bit; without it, the table stays as it was."""
    table, owned = _table(drawn), _table(drawn)

    copied = check_boxes(table, policy)
    moved = check_boxes(owned, policy, in_place=True)

    assert moved.boxes.tobytes() == copied.boxes.tobytes()
    assert moved.rows.tolist() == copied.rows.tolist()
    assert table.boxes.tobytes() == _table(drawn).boxes.tobytes()
    assert np.shares_memory(moved.boxes, owned.boxes) == bool(len(moved))


@given(st.tuples(st.floats(0, 1), st.floats(0, 1e-5) | st.just(1e-12)), st.integers(1, 20_000))
def test_checked_boxes_keep_their_area_in_training(extent: tuple[float, float], width: int) -> None:
    """A box that passed has area in float32 pixels too, also when it is mirrored."""
    start, length = extent
    table = _table([(0, 0, (start, 0.25, min(start + length, 1.0), 0.75), False)])

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


@pytest.mark.real_data
def test_the_faults_of_visual_genome(real_data: Path) -> None:
    """The released file has 51 boxes outside their image, one without area, and five copies."""
    table = read_boxes(real_data / "open-images" / "vg-annotations-bbox.csv", "keep")

    assert _counts(box_faults(table)) == {
        "not_finite": 0, "outside": 51, "degenerate": 1, "duplicate": 5,
    }  # fmt: skip


@pytest.mark.real_data
@pytest.mark.parametrize("split", ["train", "val-seen", "val-novel"])
def test_files_without_a_fault_pass(real_data: Path, split: str) -> None:
    """The mosaics' boxes are good as they are."""
    path = real_data / "tin200" / f"{split}-annotations-bbox.csv"

    assert len(read_boxes(path, "error")) == len(read_boxes(path, "unchecked")) > 0


def _counts(faults: BoxFaults) -> dict[str, int]:
    return {kind: int(mask.sum()) for kind, mask in vars(faults).items()}


def _table(rows: list[Any]) -> BoxTable:
    """Return boxes (image, class, corners, group flag), each from the row of its place."""
    image, label, boxes, group_of = zip(*rows, strict=True) if rows else ((),) * 4
    return BoxTable.of(
        Source(Path("boxes.csv")),
        np.arange(len(rows)),
        image_ids=("i", "j", "k"),
        image=np.array(image, np.int64),
        class_ids=("c", "d"),
        label=np.array(label, np.int64),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        group_of=np.array(group_of, np.bool_),
    )


def test_the_first_bad_box_is_the_first_of_the_file(box_file: Path) -> None:
    """Also where the rows are sorted by image, as in an index."""
    table = read_boxes(box_file, "unchecked")
    backward = table.select(np.array([3, 2, 1]))

    with pytest.raises(DatasetError) as error:
        check_boxes(backward, "error")

    assert error.value.where == f"{box_file}:3"
