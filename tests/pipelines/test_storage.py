"""Tests for pipelines.storage: where files may be written."""

from pathlib import Path

import pytest
import torch

from pipelines.errors import ConfigError
from pipelines.storage import atomic_path, read_artifact, refuse_unwritable, write_artifact


@pytest.mark.parametrize(
    ("output", "said"), [("/dev/null", "not a regular file"), (".", "a folder")]
)
def test_only_a_file_is_replaced(output: str, said: str) -> None:
    """A device or a folder would be gone after the renaming."""
    with pytest.raises(ConfigError, match=said), atomic_path(Path(output)):
        pass

    assert not Path(output).is_file()


@pytest.mark.parametrize("output", ["file/out.csv", "file/run/out.csv"])
def test_an_output_below_a_file_is_refused(tmp_path: Path, output: str) -> None:
    """The message names the file that is in the way, before a long work and when it is written."""
    (tmp_path / "file").touch()

    with pytest.raises(ConfigError, match="a file, not a folder") as early:
        refuse_unwritable([None, tmp_path / output])
    with pytest.raises(ConfigError, match="a file, not a folder"), atomic_path(tmp_path / output):
        pass

    assert early.value.where == str(tmp_path / "file")
    assert early.value.mend


def test_a_place_without_files_is_refused_by_name(tmp_path: Path) -> None:
    """The message names the output, not the temporary file beside it."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere" / "else")
    output = tmp_path / "link" / "out.csv"

    with pytest.raises(OSError) as error, atomic_path(output):
        pass

    assert error.value.filename == str(output)


def test_asking_whether_a_file_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    """An output that is there stays as it is."""
    (tmp_path / "old").write_text("old")

    refuse_unwritable([tmp_path / "old", tmp_path / "new", tmp_path / "folder" / "new"])

    assert [path.name for path in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_text() == "old"


def test_equal_contents_are_equal_bytes(tmp_path: Path) -> None:
    """However the library orders the header, which holds eight keys here."""
    tensors = {"b": torch.ones(3), "a": torch.zeros(2, dtype=torch.int64)}
    header = {key: [key, "é", '"\n'] for key in "fedcba"}
    for name in ("one", "two"):
        write_artifact(tmp_path / name, "wtn.test", tensors, header, {})

    again, read, _ = read_artifact(tmp_path / "two", "wtn.test", tuple("abcdef"), "")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert read["a"] == ["a", "é", '"\n']
    assert torch.equal(again["b"], tensors["b"])
