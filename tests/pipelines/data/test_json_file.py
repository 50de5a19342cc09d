"""Tests for pipelines.data.json_file."""

from pathlib import Path
from typing import Any

import pytest

from pipelines.data.json_file import Entries, read_json
from pipelines.errors import DatasetError

PATH = Path("boxes.json")


def entries(*values: Any) -> Entries:  # noqa: ANN401
    """Return entries 0, 1, 2, ... with one value ``v`` each."""
    return Entries(PATH, "entry", [{"id": row, "v": value} for row, value in enumerate(values)])


def refusal(read: Any) -> str:  # noqa: ANN401
    """Return what a reading is refused with."""
    with pytest.raises(DatasetError) as error:
        read()
    return str(error.value)


def test_the_hook_takes_inner_objects_first(tmp_path: Path) -> None:
    """What the hook returns stands for the object; a byte order mark is no content."""
    path = tmp_path / "a.json"
    path.write_text('\ufeff[{"a": {"b": 1}}, {"b": 2}]', encoding="utf-8")

    assert read_json(path, len) == [1, 1]
    assert read_json(path, lambda entry: sorted(entry)) == [["a"], ["b"]]


@pytest.mark.parametrize(
    ("content", "where", "what"),
    [
        (b'{"a":\n[1, 2', ":2", "not JSON"),
        (b"\xff\xfe", "", "not UTF-8 text (found byte 0xff)"),
        (b"[" * 100_000, "", "not a file of annotations"),
        (b"9" * 10_000, "", "not a file of annotations"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes, where: str, what: str) -> None:
    """Text that ends early, other encodings and hostile numbers are errors with a place."""
    path = tmp_path / "a.json"
    path.write_bytes(content)

    assert refusal(lambda: read_json(path, len)).startswith(f"{path}{where}: {what}")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """So is a folder."""
    assert "no such file" in refusal(lambda: read_json(tmp_path / "a.json", len))
    assert "directory" in refusal(lambda: read_json(tmp_path, len))


def test_columns_are_read() -> None:
    """Numbers, lists of numbers, texts and references become columns."""
    assert entries(1, 2.5).numbers("v").tolist() == [1, 2.5]
    assert entries([1, 2], [3, 4]).numbers("v", width=2).tolist() == [[1, 2], [3, 4]]
    assert entries().numbers("v", width=2).shape == (0, 2)
    assert entries(1).numbers("w", default=7).tolist() == [7]
    assert entries(3.0).whole_numbers("v", 0, 9).tolist() == [3]
    assert entries("a", 5).texts("v") == ["a", "5"]
    assert entries(2, "0").positions("v", entries(5, 5, 5)).tolist() == [2, 0]


def test_lists_are_unfolded() -> None:
    """Every item is an entry that has its owner's name; a missing list is an empty one."""
    owned = Entries(PATH, "image", [{"id": 5, "v": [1, 2]}, {"id": 6}, {"id": 7, "v": [3]}])

    items, owners = owned.unfold("v")

    assert (items.numbers("v").tolist(), owners.tolist()) == ([1, 2, 3], [0, 0, 2])
    assert items.where(2) == "image 7"
    assert refusal(lambda: entries([1], 2).unfold("v")) == (
        "boxes.json: entry 1: v is 2\nGive a list."
    )


@pytest.mark.parametrize("bad", [None, "x", float("nan"), 10**400, [1], {}])
def test_what_is_no_number_is_refused(bad: object) -> None:
    """The first bad entry is named, with its value."""
    message = refusal(lambda: entries(1, bad, None).numbers("v"))

    assert message == f"boxes.json: entry 1: v is {bad!r}\nGive a finite number."


@pytest.mark.parametrize("bad", [None, [1, 2, 3], [1, None], 5, "ab", [[1], [2]]])
def test_what_is_no_list_of_numbers_is_refused(bad: object) -> None:
    """A list must have the wanted length, and hold numbers only."""
    message = refusal(lambda: entries([1, 2], bad).numbers("v", width=2))

    assert message == f"boxes.json: entry 1: v is {bad!r}\nGive 2 finite numbers."


@pytest.mark.parametrize("bad", [1.5, -1, 0, 10])
def test_what_is_no_whole_number_in_range_is_refused(bad: float) -> None:
    """Both ends belong to the range."""
    assert entries(1, 9).whole_numbers("v", 1, 9).tolist() == [1, 9]
    assert f"entry 1: v is {bad:g}" in refusal(lambda: entries(1, bad).whole_numbers("v", 1, 9))


@pytest.mark.parametrize("bad", [None, "", True, 1.0, [1], "\ud800a"])
def test_what_is_no_text_is_refused(bad: object) -> None:
    """An id or a name is text, which half of a surrogate pair is not, or a whole number."""
    assert f"entry 1: v is {bad!r}" in refusal(lambda: entries("a", bad).texts("v"))


def test_a_missing_value_is_refused() -> None:
    """An entry without an id is named by its place."""
    nameless = Entries(PATH, "entry", [{"v": 1}, {}])

    assert refusal(lambda: nameless.values("v")) == (
        "boxes.json: entry at position 1: v is missing\nGive every entry its v."
    )


def test_references_must_resolve() -> None:
    """An id that nothing has, or that two have, is an error."""
    twice = Entries(PATH, "image", [{"id": 1}, {"id": 1}])

    assert "entry 1: v is 7, but no image has this id" in refusal(
        lambda: entries(1, 7).positions("v", Entries(PATH, "image", [{"id": 1}]))
    )
    assert "image 1: '1' is the id of image 1 too" in refusal(
        lambda: entries(1).positions("v", twice)
    )
