"""Tests for pipelines.data.tables."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.data import tables
from pipelines.data.tables import read_table
from pipelines.errors import DatasetError


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Return a path for a file."""
    return tmp_path / "table.csv"


def test_columns_are_found_by_name(csv_file: Path) -> None:
    """Wanted columns come in any order among others; ids are sorted, rows keep their order."""
    csv_file.write_text("note,score,id\n-,0.25,b\n-,1e-3,a\n-,7,b\n")

    table = read_table(csv_file, text=["id"], numbers=["score"])

    assert table.text["id"].values == ("a", "b")
    assert table.text["id"].codes.tolist() == [1, 0, 1]
    assert table.numbers["score"].tolist() == [0.25, 0.001, 7.0]
    assert table.lines.tolist() == [2, 3, 4]


def test_any_line_end_and_a_byte_order_mark_are_read(csv_file: Path) -> None:
    """Line ends may be mixed, and blank lines count only in the line numbers."""
    csv_file.write_bytes(b"\xef\xbb\xbfid,score\r\na,1\n\r\nb,2\rc,3")

    table = read_table(csv_file, text=["id"], numbers=["score"])

    assert table.text["id"].values == ("a", "b", "c")
    assert table.lines.tolist() == [2, 4, 5]


def test_long_files_are_read_in_pieces(csv_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pieces give the same arrays as the whole."""
    csv_file.write_text("id,score\n" + "".join(f"{i % 3},{i}\n" for i in range(10)))
    whole = read_table(csv_file, text=["id"], numbers=["score"])
    monkeypatch.setattr(tables, "_ROWS_PER_CHUNK", 3)

    pieces = read_table(csv_file, text=["id"], numbers=["score"])

    assert pieces.text["id"].values == whole.text["id"].values
    np.testing.assert_array_equal(pieces.text["id"].codes, whole.text["id"].codes)
    np.testing.assert_array_equal(pieces.numbers["score"], whole.numbers["score"])
    np.testing.assert_array_equal(pieces.lines, np.arange(10) + 2)


def test_an_optional_column_may_be_absent(csv_file: Path) -> None:
    """It is in the table only where the file has it."""
    csv_file.write_text("id,flag\na,1\n")

    table = read_table(csv_file, text=["id"], numbers=[], optional=["flag", "other"])

    assert {name: column.tolist() for name, column in table.numbers.items()} == {"flag": [1.0]}


def test_a_file_without_header_is_read_by_position(csv_file: Path) -> None:
    """The first line is then a row."""
    csv_file.write_text("a,1\nb,2\n")

    table = read_table(csv_file, text=["id"], numbers=["score"], header=["id", "score"])

    assert table.lines.tolist() == [1, 2]
    assert table.numbers["score"].tolist() == [1.0, 2.0]


def test_no_rows_are_an_error_unless_allowed(csv_file: Path) -> None:
    """A header alone is a table without rows."""
    csv_file.write_text("id,score\n")

    table = read_table(csv_file, text=["id"], numbers=["score"], may_be_empty=True)

    assert table.text["id"].values == ()
    assert table.numbers["score"].shape == table.lines.shape == (0,)
    with pytest.raises(DatasetError, match=r"table\.csv: the file has no rows"):
        read_table(csv_file, text=["id"], numbers=["score"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": the file is empty\nExpected a header and rows."),
        (b"\n\n", ": the file is empty\nExpected a header and rows."),
        (
            b"id,scores\na,1\n",
            ": column 'score' is missing; the columns are id, scores\nDid you mean 'scores'?",
        ),
        (
            b"x;y\na;1\n",
            ": column 'id' is missing; the columns are x;y\nName the column id in the first line.",
        ),
        (
            b"id,score\na,1\nb,high\n",
            ":3: score must be a finite number, found 'high'\nCorrect the value or remove the row.",
        ),
        (
            b"id,score\na,nan\n",
            ":2: score must be a finite number, found 'nan'\nCorrect the value or remove the row.",
        ),
        (
            b"id,score\na,1\n\nb,-inf\n",
            ":4: score must be a finite number, found '-inf'\nCorrect the value or remove the row.",
        ),
        (
            b"id,score\na,\n",
            ":2: score must be a finite number, found ''\nCorrect the value or remove the row.",
        ),
        (b"id,score\na,1\n,2\n", ":3: id is empty\nFill it in or remove the row."),
        (
            b"id,score\na,1\nb\n",
            ":3: the row has 1 fields where 2 were expected\n"
            "Complete the row or remove it; a value with a comma needs quotes.",
        ),
        (
            b"id,score\na,1,2\n",
            ":2: the row has 3 fields where 2 were expected\n"
            "Complete the row or remove it; a value with a comma needs quotes.",
        ),
        (
            b"id,score\n\x89PNG,1\n",
            ": not UTF-8 text (found byte 0x89)\n"
            "Save the file as UTF-8; if it is compressed, unpack it first.",
        ),
        (
            b"id,score\n" + b"a" * 200_000 + b",1\n",
            ": not a CSV file (field larger than field limit (131072))",
        ),
    ],
)
def test_a_bad_file_is_refused_with_its_place(csv_file: Path, content: bytes, message: str) -> None:
    """The message names the file, the line and column where there is one, and a mend."""
    csv_file.write_bytes(content)

    with pytest.raises(DatasetError) as error:
        read_table(csv_file, text=["id"], numbers=["score"])

    assert str(error.value) == f"{csv_file}{message}"


def test_a_path_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file and a folder are told apart."""
    with pytest.raises(DatasetError, match=r"absent\.csv: no such file"):
        read_table(tmp_path / "absent.csv", text=["id"], numbers=[])
    with pytest.raises(DatasetError, match="Is a directory"):
        read_table(tmp_path, text=["id"], numbers=[])
