"""Tests for pipelines.data.annotation_sources: the files and settings that a key depends on."""

from pathlib import Path

import pytest

from pipelines.data.annotation_sources import CocoSource, OpenImagesSource, VisualGenomeSource
from pipelines.data.array_file import write_arrays
from pipelines.errors import DatasetError


def test_every_file_has_a_role() -> None:
    """All files are told, in the order of the fields, and nothing but files."""
    source = OpenImagesSource(
        Path("classes"), (Path("a"), Path("b")), hierarchy=Path("tree"), expanded=True
    )

    assert list(source.files()) == [
        ("classes", Path("classes")), ("boxes", Path("a")), ("boxes", Path("b")),
        ("hierarchy", Path("tree")),
    ]  # fmt: skip


def test_settings_tell_sources_apart() -> None:
    """What is no file is a setting, and so is the kind of the source."""
    files = Path("objects"), Path("classes"), Path("sizes")

    assert VisualGenomeSource(*files, min_boxes=2).settings() == {
        "kind": "VisualGenomeSource", "min_boxes": 2,
    }  # fmt: skip
    assert CocoSource(Path("a"), "name").settings() == {"kind": "CocoSource", "class_ids": "name"}
    assert CocoSource(Path("a")).settings() != CocoSource(Path("a"), "name").settings()


def test_an_index_is_not_prepared_again(tmp_path: Path) -> None:
    """An index in the place of a CSV is called what it is, and not bad text."""
    classes, index = tmp_path / "classes", tmp_path / "index"
    classes.write_text("cat\n")
    write_arrays(index, "wtn.dataset-index", {}, {}, {})

    for source in (OpenImagesSource(classes, (index,)), OpenImagesSource(classes, (), (index,))):
        with pytest.raises(DatasetError, match=r"a wtn\.dataset-index file already") as caught:
            source.read("error")

        assert caught.value.where == str(index)
        assert "take an index as it is" in str(caught.value.mend)
