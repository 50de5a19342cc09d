"""Tests for pipelines.classifiers.text_vectors."""

import gzip
from pathlib import Path

import pytest

from pipelines.classifiers.text_vectors import TextVectors, is_text
from pipelines.errors import ArtifactError

LINES = "the 0.5 1 -2\nnaïve 1e-3 0 4\nNew York 7 8 9\nnew 3 2 1\nnew 0 0 0\n"
EXPECTED = {"naïve": [0.001, 0.0, 4.0], "new": [3.0, 2.0, 1.0]}


def _write(path: Path, text: str) -> Path:
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def _read(path: Path, *tokens: str) -> dict[str, list[float]]:
    found = TextVectors(path).known(tokens)
    return {token: pytest.approx(vector.tolist()) for token, vector in found.items()}


@pytest.mark.parametrize("name", ["a.vec", "a.txt", "a.vec.gz", "A.TXT.GZ"])
@pytest.mark.parametrize("header", ["", "5 3\n"])
def test_reads_wanted_words(tmp_path: Path, name: str, header: str) -> None:
    """With a header or without, packed or not: the first line of each wanted word, and no others.

    A word with a space in it is not its first part.
    """
    path = _write(tmp_path / name, header + LINES)
    if name.endswith("GZ"):
        path.write_bytes(gzip.compress((header + LINES).encode()))
    assert is_text(path)
    assert _read(path, "naïve", "new", "New", "absent") == EXPECTED


@pytest.mark.parametrize("line_end", [" \n", "\r\n"])
def test_blanks_at_line_ends_do_not_count(tmp_path: Path, line_end: str) -> None:
    """The ends that fastText and Windows write are not numbers."""
    path = _write(tmp_path / "a.vec", f"5 3{line_end}" + LINES.replace("\n", line_end))
    assert _read(path, "naïve", "new") == EXPECTED


def test_other_files_are_not_text(tmp_path: Path) -> None:
    """Only files, and only those named like word vectors."""
    (tmp_path / "folder.vec").mkdir()
    (tmp_path / "model.bin.gz").touch()
    assert not is_text(tmp_path / "folder.vec")
    assert not is_text(tmp_path / "model.bin.gz")
    assert not is_text(tmp_path / "none.vec")


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "not word vectors"),
        ("/m/01\n/m/02\n", 1, "not word vectors"),
        ("the 1 2\nnew 1 x\ndog 1 2\n", 2, "not a word and 2 finite numbers"),
        ("the 1 2\nnew 1\ndog 1 2\n", 2, "not a word and 2 finite numbers"),
        ("the 1 2\nnew 1 nan\ndog 1 2\n", 2, "not a word and 2 finite numbers"),
        ("the 1 2\nnew 1 1e99\ndog 1 2\n", 2, "not a word and 2 finite numbers"),
        ("3 2\nthe 1 2\nnew 1 2\ndog 1", 4, "not a word and 2 finite numbers"),
        ("the 1 2\ndog 1", 2, "not a word and 2 finite numbers"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, text: str, line: int, problem: str) -> None:
    """A wanted line or the last one that is not whole is refused, with its number."""
    path = _write(tmp_path / "a.vec", text)
    with pytest.raises(ArtifactError, match=problem) as caught:
        _read(path, "new")
    assert caught.value.where == f"{path}:{line}"


def test_fewer_words_than_announced_are_refused(tmp_path: Path) -> None:
    """A copy that broke off between two lines is found by its first line."""
    path = _write(tmp_path / "a.vec", "9 3\n" + LINES)
    with pytest.raises(ArtifactError, match="holds 5 words where its first line announces 9"):
        _read(path, "new")


def test_truncated_gzip_files_are_refused(tmp_path: Path) -> None:
    """A packed file that ends early, or is not one, is said not to be complete."""
    path = _write(tmp_path / "a.vec.gz", LINES)
    data = path.read_bytes()
    for spoiled in (data[:-9], b"the 1 2 3\n"):
        path.write_bytes(spoiled)
        with pytest.raises(ArtifactError, match="not a complete gzip file"):
            _read(path, "new")


def test_text_composes_nothing(tmp_path: Path) -> None:
    """A text file knows whole words only."""
    assert TextVectors(_write(tmp_path / "a.vec", LINES)).composed("newer") is None
