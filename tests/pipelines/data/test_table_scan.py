"""Tests for pipelines.data.table_scan."""

from pathlib import Path

import pytest

from pipelines.data import table_scan
from pipelines.data.table_scan import (
    Layout,
    has_a_row_a_line,
    refuse_first_fault,
    row_lines,
    scan_layout,
)
from pipelines.errors import DatasetError


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    """Return a path for a file."""
    return tmp_path / "table.csv"


def _layout(path: Path, *, finite: bool = True) -> Layout:
    return scan_layout(path, ["id"], ["score"], ["flag"], None, finite, may_be_empty=True)


def test_the_layout_says_where_the_columns_are(csv_file: Path) -> None:
    """Columns are counted from 0, and lines up to the header from 1."""
    csv_file.write_text("\n\nnote,score,id,flag\n-,1,a,0\n")

    layout = _layout(csv_file)

    assert (layout.width, layout.header_lines, layout.has_rows) == (4, 3, True)
    assert layout.text == {"id": 2}
    assert layout.numbers == {"score": 1, "flag": 3}


def test_a_row_stands_in_the_line_where_it_ends(csv_file: Path) -> None:
    """Blank lines and line ends in a value count, the header is no row."""
    csv_file.write_bytes(b'"id\n",score\r\na,1\r\rb,2\n"c\nd",3')

    layout = scan_layout(csv_file, [], ["score"], [], None, finite=True, may_be_empty=False)

    assert list(row_lines(layout)) == [3, 5, 7]


@pytest.mark.parametrize("block", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("content", "certain"),
    [
        (b"id\na\nb\n", True),
        (b"id\na\nb", True),
        (b"id\r\na\r\nb\r\n", True),
        (b"id\ra\r\nb\nc\r", True),
        ("id\né😀\n".encode(), True),
        (b"", True),
        (b"\nid\na\n", False),
        (b"id\n\na\n", False),
        (b"id\r\n\r\na\r\n", False),
        (b"id\r\ra\r", False),
        (b"id\na\n\r\n", False),
        (b'id\n"a"\n', False),
        (b"id\na\xe9\n", False),
        (b"id\na\xe9", False),
    ],
)
def test_doubtful_lines_are_noticed(
    csv_file: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, certain: bool, block: int
) -> None:
    """Blank lines, quotes and bytes that are not UTF-8 are, wherever a block ends."""
    csv_file.write_bytes(content)
    monkeypatch.setattr(table_scan, "_BLOCK_BYTES", block)

    assert has_a_row_a_line(csv_file) is certain


def test_a_good_file_has_no_fault(csv_file: Path) -> None:
    """Nothing is raised, also for numbers that need not be finite."""
    csv_file.write_text("id,score\na,1\nb,nan\n")

    assert refuse_first_fault(_layout(csv_file, finite=False)) is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,1\n,x\nb\n", ":3: id is empty"),
        ("a,x\n,1\n", ":2: score must be a finite number, found 'x'"),
        ("a\n,x\n", ":2: the row has 1 fields where 2 were expected"),
    ],
)
def test_the_first_fault_is_named(csv_file: Path, rows: str, message: str) -> None:
    """The first bad row counts, whatever is wrong with the rows below."""
    csv_file.write_text("id,score\n" + rows)

    with pytest.raises(DatasetError) as error:
        refuse_first_fault(_layout(csv_file))

    assert f"{error.value}".startswith(f"{csv_file}{message}\n")
