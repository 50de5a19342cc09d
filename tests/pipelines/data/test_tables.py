"""Tests for pipelines.data.tables."""

import csv
import gzip
import io
import re
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data import tables
from pipelines.data.tables import iter_tables, read_table
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


def test_long_files_are_read_in_blocks(csv_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks give the same arrays as the whole, though each has its own dictionary."""
    csv_file.write_text("id,score\n" + "".join(f"id{-i % 7},{i}\n" for i in range(40)))
    whole = read_table(csv_file, text=["id"], numbers=["score"])
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 24)

    blocks = read_table(csv_file, text=["id"], numbers=["score"])

    assert blocks.text["id"].values == whole.text["id"].values == tuple(f"id{i}" for i in range(7))
    assert blocks.text["id"].codes.tolist() == [-i % 7 for i in range(40)]
    assert blocks.numbers["score"].tolist() == list(range(40))
    np.testing.assert_array_equal(blocks.lines, np.arange(40) + 2)


def test_the_arrays_own_their_memory(csv_file: Path) -> None:
    """They may be written to, have the documented types and no room to spare."""
    csv_file.write_text("id,score\na,1\nb,2\n")

    table = read_table(csv_file, text=["id"], numbers=["score"])

    for array in (table.lines, table.text["id"].codes, table.numbers["score"]):
        assert array.flags.writeable
        assert array.base is None
    assert table.lines.dtype == table.text["id"].codes.dtype == np.int64
    assert table.numbers["score"].dtype == np.float64


def test_quoted_values_may_hold_commas_quotes_and_line_ends(csv_file: Path) -> None:
    """A row stands in the line where it ends."""
    csv_file.write_text('"id",score\n"a,b",1\n"a\nb",2\n"a""b","3"\n', newline="")

    table = read_table(csv_file, text=["id"], numbers=["score"])

    assert table.text["id"].values == ("a\nb", 'a"b', "a,b")
    assert table.text["id"].codes.tolist() == [2, 0, 1]
    assert table.numbers["score"].tolist() == [1.0, 2.0, 3.0]
    assert table.lines.tolist() == [2, 4, 5]


def test_a_repeated_column_is_read_once(csv_file: Path) -> None:
    """The first of that name counts, and space around a name does not."""
    csv_file.write_text(" id , score,score\na,1,2\n")

    table = read_table(csv_file, text=["id"], numbers=["score"])

    assert table.numbers["score"].tolist() == [1.0]


def test_ids_are_sorted_by_code_point(csv_file: Path) -> None:
    """Any UTF-8 text is an id, and spaces belong to it."""
    csv_file.write_text("id\nz\n\U0001f600\n\uffee\né\n a\n", encoding="utf-8")

    table = read_table(csv_file, text=["id"], numbers=[])

    assert table.text["id"].values == (" a", "z", "é", "\uffee", "\U0001f600")


def test_numbers_that_are_not_finite_can_be_let_in(csv_file: Path) -> None:
    """They are returned as they are; an empty or another text is still refused."""
    csv_file.write_text("id,score\na,nan\nb,NaN\nc,INF\nd,-inf\ne,1\n")

    scores = read_table(csv_file, text=["id"], numbers=["score"], finite=False).numbers["score"]

    np.testing.assert_array_equal(scores, [np.nan, np.nan, np.inf, -np.inf, 1.0])
    csv_file.write_text("id,score\na,nan\nb,\n")
    with pytest.raises(DatasetError, match=r"table\.csv:3: score must be a number, found ''"):
        read_table(csv_file, text=["id"], numbers=["score"], finite=False)


@pytest.mark.parametrize("text", ["1_0", "\uff11", "\u0661", "\v1", "\f1", "\xa01"])
def test_what_only_python_takes_for_a_number_has_its_line(csv_file: Path, text: str) -> None:
    """Python reads 1_0 as ten and digits of every script; no other program does."""
    csv_file.write_text(f"id,score\na,10\nb,{text}\n", encoding="utf-8")

    with pytest.raises(DatasetError, match=r"table\.csv:3: score must be a finite number, found"):
        read_table(csv_file, text=["id"], numbers=["score"])


def test_a_table_in_pieces_is_the_whole_table(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece has a dictionary of its own and the lines of the file."""
    csv_file.write_text("id,score\n" + "".join(f"id{i // 3},{i}\n\n" for i in range(40)))
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 24)
    monkeypatch.setattr(tables, "_ROWS_PER_TABLE", 7)

    pieces = list(iter_tables(csv_file, text=["id"], numbers=["score"]))

    assert len(pieces) > 2
    assert all(7 <= len(piece.lines) < 14 for piece in pieces[:-1])
    ids = [piece.text["id"] for piece in pieces]
    assert [part.values[code] for part in ids for code in part.codes] == [
        f"id{i // 3}" for i in range(40)
    ]
    assert all(len(part.values) == len(set(part.codes.tolist())) for part in ids)
    assert np.concatenate([piece.numbers["score"] for piece in pieces]).tolist() == list(range(40))
    lines = np.concatenate([piece.lines for piece in pieces])
    np.testing.assert_array_equal(lines, 2 * np.arange(40) + 2)


def test_pieces_before_a_bad_row_are_yielded(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bad file is refused when its bad row comes, a missing one at once."""
    csv_file.write_text("id,score\n" + "".join(f"a,{i}\n" for i in range(2000)) + "a,bad\n")
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 64)
    monkeypatch.setattr(tables, "_ROWS_PER_TABLE", 7)

    pieces = iter_tables(csv_file, text=["id"], numbers=["score"])

    assert next(pieces).numbers["score"][0] == 0.0
    with pytest.raises(DatasetError, match=r"table\.csv:2002: score must be a finite number"):
        list(pieces)
    with pytest.raises(DatasetError, match="no such file"):
        iter_tables(csv_file.with_name("absent.csv"), text=["id"], numbers=["score"])


def test_an_empty_table_has_no_pieces(csv_file: Path) -> None:
    """It is refused unless it may be empty."""
    csv_file.write_text("id,score\n\n")

    assert not list(iter_tables(csv_file, text=["id"], numbers=["score"], may_be_empty=True))
    with pytest.raises(DatasetError, match="the file has no rows"):
        iter_tables(csv_file, text=["id"], numbers=["score"])


def _csv_row(row: tuple[str, object]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(row)
    return text.getvalue()[:-2]


_VALUE = st.text(st.sampled_from('ab, "\n\r#é'), min_size=1, max_size=5)


@given(
    rows=st.lists(st.tuples(_VALUE, st.floats(allow_nan=False, allow_infinity=False)), min_size=1),
    ends=st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n\r\n"]), min_size=1),
    block=st.integers(100, 500),
)
def test_what_the_standard_library_reads_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, float]],
    ends: list[str],
    block: int,
) -> None:
    """Values, numbers to the last bit and lines agree, whatever is quoted and however lines end."""
    rows = [(re.sub(r"\r\n?", "\n", text), number) for text, number in rows]
    path = tmp_path_factory.mktemp("any") / "table.csv"
    written = zip([("id", "score"), *rows], cycle(ends), strict=False)
    path.write_bytes("".join(_csv_row(row) + end for row, end in written).encode())
    with path.open(encoding="utf-8") as file:
        reader = csv.reader(file)
        lines = [reader.line_num for fields in reader if fields][1:]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK_BYTES", block)
        table = read_table(path, text=["id"], numbers=["score"])

    ids = table.text["id"]
    assert ids.values == tuple(sorted({text for text, _ in rows}))
    assert [ids.values[code] for code in ids.codes] == [text for text, _ in rows]
    assert table.numbers["score"].tolist() == [number for _, number in rows]
    assert table.lines.tolist() == lines


@given(
    rows=st.lists(
        st.sampled_from(["a,1\n", "b,2\r\n", '"', ",", "\n", "\r", "a", "1", '"a,b",3\n'])
    )
)
def test_any_text_is_a_table_or_refused(
    tmp_path_factory: pytest.TempPathFactory, rows: list[str]
) -> None:
    """No other error is raised, and a table has the rows and lines of the standard library's."""
    path = tmp_path_factory.mktemp("any") / "table.csv"
    path.write_bytes(("id,score\n" + "".join(rows)).encode())
    try:
        table = read_table(path, text=["id"], numbers=["score"], may_be_empty=True)
    except DatasetError:
        return
    with path.open(encoding="utf-8") as file:
        reader = csv.reader(file)
        records = [
            (reader.line_num, float(fields[1])) for fields in islice(reader, 1, None) if fields
        ]

    assert list(zip(table.lines, table.numbers["score"], strict=True)) == records


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
            ": column 'id' is missing; the columns are x;y\n"
            "Separate the columns with commas, not with ';'.",
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
            b"id,score,note\n" + b"a,1,b\n" * 9_000 + b"a,1,\xe9\n",
            ": not UTF-8 text (found byte 0xe9)\n"
            "Save the file as UTF-8; if it is compressed, unpack it first.",
        ),
        (
            gzip.compress(b"id,score\na,1\n"),
            ": not UTF-8 text (found byte 0x8b)\n"
            "Save the file as UTF-8; if it is compressed, unpack it first.",
        ),
        (
            b"id,score\n" + b"a,1\n" * 300_000 + b'"b\nc",2\n\n,1\nd,nan\n',
            ":300005: id is empty\nFill it in or remove the row.",
        ),
        (
            b"id,score\na,1\nb\nc,x\n,2\n",
            ":3: the row has 1 fields where 2 were expected\n"
            "Complete the row or remove it; a value with a comma needs quotes.",
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
