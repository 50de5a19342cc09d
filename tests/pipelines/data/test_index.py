"""Tests for pipelines.data.index: what is written is read back, mapped and bit for bit."""

import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from pipelines.data import index as index_module
from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable, Source
from pipelines.data.array_file import map_arrays, write_arrays
from pipelines.data.images import open_images
from pipelines.data.index import FORMAT, is_index, open_index, read_index_header, write_index
from pipelines.errors import ArtifactError, DatasetError
from pipelines.vocabulary import Vocabulary

IMAGES = ("i1", "i2", "bäum", "i4")


@pytest.fixture
def split() -> Annotations:
    """Return three boxes and two labels of four images, one of which has neither."""
    images = tuple(sorted(IMAGES))
    boxes = BoxTable(
        image_ids=images,
        image=np.array([0, 0, 3]),
        class_ids=("a", "c"),
        label=np.array([1, 0, 1]),
        boxes=np.array([[0.1, 0.2, 1 / 3, 0.4], [0, 0, 1, 1], [-0.5, 0, 1.752, 1]]),
        group_of=np.array([False, True, False]),
        sources=(Source(Path("/data/a.json"), "annotation"), Source(Path("/data/b.csv"))),
        source=np.array([1, 0, 1], np.uint8),
        rows=np.array([7, 900100000001, 9]),
    )
    labels = ImageLabelTable(
        images, np.array([1, 3]), ("a", "b"), np.array([1, 0]), np.array([True, False])
    )
    return Annotations(
        images,
        boxes,
        labels,
        Vocabulary(("c", "b", "a"), ("Cat", "Bird", "Ant")),
        np.array([[3, 4], [5, 6], [0, 0], [7, 8]], np.int32),
        hierarchy={"LabelName": "root", "Subcategory": [{"LabelName": "a"}]},
    )


def written(path: Path, split: Annotations) -> Path:
    """Write an index without images."""
    write_index(path, split, key="k", policy="keep", provenance={"tool": "t"}, counts={"boxes": 3})
    return path


def rewritten(path: Path, arrays: dict[str, np.ndarray | None]) -> Path:
    """Write an index again with other arrays; None takes one away."""
    header = read_index_header(path)
    facts = {k: v for k, v in header.items() if k not in ("format", "format_version", "shapes")}
    write_arrays(
        path.with_name("other"),
        FORMAT,
        {name: a for name, a in {**map_arrays(path), **arrays}.items() if a is not None},
        facts,
        facts.pop("provenance"),
    )
    return path.with_name("other")


def assert_equal_tables(left: object, right: object) -> None:
    """Compare two tables field by field."""
    for field in fields(left):  # type: ignore[arg-type]
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        if field.name == "image_ids":
            assert tuple(ours) == tuple(theirs)
        elif isinstance(theirs, np.ndarray):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)
        else:
            assert ours == theirs


def test_what_is_written_is_read_back(tmp_path: Path, split: Annotations) -> None:
    """Every column, id, name and fact comes back as it was, bit for bit."""
    index = open_index(written(tmp_path / "split.safetensors", split))

    found = index.annotations
    assert tuple(found.image_ids) == split.image_ids
    assert_equal_tables(found.boxes, split.boxes)
    assert_equal_tables(found.labels, split.labels)
    assert found.sizes.tolist() == split.sizes.tolist()
    assert (found.vocabulary, found.hierarchy) == (split.vocabulary, split.hierarchy)
    assert (index.key, index.policy, index.counts) == ("k", "keep", {"boxes": 3})
    assert found.boxes.where(1) == "/data/a.json: annotation 900100000001"
    assert index.images() is None


@pytest.mark.parametrize("with_area", [False, True])
def test_tables_may_be_empty_or_absent(tmp_path: Path, split: Annotations, with_area: bool) -> None:
    """A split without boxes, without labels, or with areas is read back too."""
    boxes = replace(split.boxes, area=np.arange(3.0) if with_area else None)
    empty = replace(split, boxes=boxes.select(boxes.label < 0), labels=None)

    found = open_index(written(tmp_path / "split.safetensors", empty)).annotations

    assert found.labels is None
    assert_equal_tables(found.boxes, empty.boxes)


def test_an_index_is_mapped_and_never_written_to(tmp_path: Path, split: Annotations) -> None:
    """The arrays lie in the file; what a caller changes in them stays with the caller."""
    path = written(tmp_path / "split.safetensors", split)
    before = path.read_bytes()
    program = (
        "import sys; from pathlib import Path; from pipelines.data.index import open_index\n"
        "boxes = open_index(Path(sys.argv[1])).annotations.boxes\n"
        "assert sys.argv[1] in Path('/proc/self/maps').read_text()\n"
        "assert 'torch' not in sys.modules\n"
        "boxes.boxes[0] = 7; assert boxes.boxes[0, 0] == 7"
    )

    if sys.platform == "linux":
        subprocess.run([sys.executable, "-c", program, path], check=True)

    assert path.read_bytes() == before


def test_an_index_is_told_from_a_table(tmp_path: Path, split: Annotations) -> None:
    """Not by its name, but by its first bytes."""
    table, empty, braces = (tmp_path / name for name in ("boxes.csv", "empty", "braces.csv"))
    table.write_text("ImageID,LabelName\n")
    empty.touch()
    braces.write_text("ImageIDs{,LabelName\n")

    assert is_index(written(tmp_path / "split.csv", split))
    assert not any(is_index(path) for path in (table, empty, braces, tmp_path, tmp_path / "none"))


def test_a_truncated_index_is_refused(tmp_path: Path, split: Annotations) -> None:
    """A copy that was cut short is named, not read."""
    path = written(tmp_path / "split.safetensors", split)
    path.write_bytes(path.read_bytes()[:-9])

    with pytest.raises(ArtifactError, match="not a complete safetensors file") as caught:
        open_index(path)

    assert caught.value.where == str(path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("boxes.row", None, "array 'boxes.row' is missing"),
        ("labels.label", None, "array 'labels.label' is missing"),
        ("boxes.label", np.zeros(2, np.int64), r"'boxes.label' is int64 \[2\] .* \[3\]"),
        ("boxes.corners", np.zeros((3, 3)), r"float64 \[3, 3\] .* \[3, 4\]"),
        ("boxes.corners", np.zeros(3), r"float64 \[3\] .* \[3, 4\]"),
        ("boxes.area", np.zeros(4), r"float64 \[4\] .* \[3\]"),
        ("boxes.image", np.zeros(3), "'boxes.image' is float64"),
        ("labels.positive", np.zeros(3, np.bool_), r"bool \[3\] .* \[2\]"),
        ("image_sizes", np.zeros((3, 2), np.int32), r"int32 \[3, 2\] .* \[4, 2\]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, split: Annotations, name: str, array: np.ndarray | None, message: str
) -> None:
    """An array that is missing, of another kind or of another length is named."""
    path = rewritten(written(tmp_path / "index", split), {name: array})

    with pytest.raises(ArtifactError, match=message) as caught:
        open_index(path)

    assert caught.value.where == str(path)
    assert "--force" in str(caught.value.mend)


def test_an_index_of_another_revision_is_refused(
    tmp_path: Path, split: Annotations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts and arrays of another revision may mean something else, so none is shown."""
    path = written(tmp_path / "index", split)
    monkeypatch.setattr(index_module, "INDEX_REVISION", index_module.INDEX_REVISION + 1)

    with pytest.raises(ArtifactError, match=r"an index of revision 1, where .* 2") as caught:
        open_index(path)

    assert "--force" in str(caught.value.mend)


def test_images_that_moved_are_missed_at_once(tmp_path: Path, split: Annotations) -> None:
    """The folder that is gone is named when the images are asked for, not when one is read."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "i1.jpg").touch()
    path = tmp_path / "index"
    write_index(
        path, split, key="k", policy="keep", provenance={}, counts={}, images=open_images(folder)
    )
    index = open_index(path)
    assert index.images() is not None
    folder.rename(tmp_path / "moved")

    with pytest.raises(DatasetError, match="no longer where") as caught:
        index.images()

    assert caught.value.where == str(folder)
    assert "--images" in str(caught.value.mend)


def test_an_index_that_lost_a_column_of_images_is_refused(
    tmp_path: Path, split: Annotations
) -> None:
    """It is the index that is damaged, not the images."""
    (tmp_path / "i1.jpg").touch()
    path = tmp_path / "index"
    write_index(
        path, split, key="k", policy="keep", provenance={}, counts={}, images=open_images(tmp_path)
    )

    with pytest.raises(ArtifactError, match="no column 'method'") as caught:
        open_index(rewritten(path, {"image_files.method": None})).images()

    assert caught.value.where == str(tmp_path / "other")
