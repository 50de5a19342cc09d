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


@pytest.mark.parametrize("content", [b"", b"ImageID\n", b"\xff\xfe", None])
def test_a_file_without_ids_is_named(tmp_path: Path, content: bytes | None) -> None:
    """An empty, foreign or missing list is an error, not an empty set."""
    path = tmp_path / "ids"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(DatasetError) as caught:
        read_image_ids(path)

    assert caught.value.where == str(path)
