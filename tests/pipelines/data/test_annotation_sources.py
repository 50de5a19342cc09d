"""Tests for pipelines.data.annotation_sources: the files and settings that a key depends on."""

from pathlib import Path

from pipelines.data.annotation_sources import CocoSource, OpenImagesSource, VisualGenomeSource


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
