"""Tests for pipelines.data.image_ids."""

from pathlib import Path

import pytest

from pipelines.data.image_ids import read_image_ids
from pipelines.errors import DatasetError


@pytest.mark.parametrize(
    "content",
    ["a\nb\n", "ImageID\na\nb", "\ufeffa,480,640\r\nb,480,640\r\n", "imageid,Split\n\nb,x\na,y\n"],
)
def test_ids_stand_in_the_first_column(tmp_path: Path, content: str) -> None:
    """A plain list, a list with a header and a file of sizes all serve."""
    path = tmp_path / "ids"
    path.write_text(content, encoding="utf-8")

    assert read_image_ids(path) == {"a", "b"}


@pytest.mark.parametrize(
    ("content", "ids"),
    [
        ("2007_a  1\n2007_b -1\n\n2007_c  0\n", {"2007_a", "2007_b", "2007_c"}),
        ("photo 1\nphoto 12\n", {"photo 1", "photo 12"}),
        ("photo 1\n2007_b\n", {"photo 1", "2007_b"}),
        ("my photo 1\n", {"my photo 1"}),
    ],
)
def test_flags_of_pascal_voc_are_no_part_of_an_id(
    tmp_path: Path, content: str, ids: set[str]
) -> None:
    """A list of VOC has one in every line; the spaces in other ids stay."""
    path = tmp_path / "dog_val.txt"
    path.write_text(content)

    assert read_image_ids(path) == ids


@pytest.mark.parametrize("content", [b"", b"ImageID\n", b"\xff\xfe", None])
def test_a_file_without_ids_is_named(tmp_path: Path, content: bytes | None) -> None:
    """An empty, foreign or missing list is an error, not an empty set."""
    path = tmp_path / "ids"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DatasetError) as caught:
        read_image_ids(path)

    assert caught.value.where == str(path)
