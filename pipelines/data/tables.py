"""Read the columns of a CSV file into arrays.

Shapes: n rows.

Arrow parses. What it cannot say, in which line a row stands and what is wrong with it,
:mod:`pipelines.data.table_scan` finds out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pipelines.data.table_columns import GrowingArray, TextColumn
from pipelines.data.table_scan import (
    Layout,
    has_a_row_a_line,
    refuse_first_fault,
    row_lines,
    scan_layout,
)
from pipelines.errors import DatasetError

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

_BLOCK_BYTES = 1 << 20  # parsed at once; larger blocks need more memory and save no time
_ROWS_PER_TABLE = 1 << 18  # at least, when a file is read piece by piece


@dataclass(frozen=True)
class Categorical:
    """A text column: its distinct values, and which one each row holds.

    Args:
        values: Distinct, sorted.
        codes: ``[n]``, positions in ``values``.
    """

    values: tuple[str, ...]
    codes: IntArray


@dataclass(frozen=True)
class Table:
    """The wanted columns of a file.

    Args:
        lines: ``[n]``, the line of each row, counted from 1 with the header.
        text: The text columns, by name.
        numbers: The number columns, by name, ``[n]`` each; a caller may take them out.
    """

    lines: IntArray
    text: Mapping[str, Categorical]
    numbers: dict[str, FloatArray]


def read_table(
    path: Path,
    *,
    text: Sequence[str],
    numbers: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    finite: bool = True,
    may_be_empty: bool = False,
) -> Table:
    """Read the named columns; others are ignored, as are blank lines and a byte order mark.

    Args:
        path: A comma-separated UTF-8 file with any line ends.
        text: Columns of ids.
        numbers: Columns of numbers.
        optional: Columns of numbers that are left out where the file lacks them.
        header: The columns of a file whose first line is already a row.
        finite: Refuse the numbers ``nan`` and ``inf``.
        may_be_empty: Accept a file that has no row below its header.

    Raises:
        DatasetError: If the file is missing, empty or not UTF-8, lacks a column, or holds a row of
            another length, an empty id or something that is not a number; names the first.
    """
    layout = scan_layout(path, text, numbers, optional, header, finite, may_be_empty)
    lines, builder = _Lines(layout), _TableBuilder(layout)
    for batch in _batches(layout):
        builder.add(batch)
    return builder.build(lines)


def iter_tables(
    path: Path,
    *,
    text: Sequence[str],
    numbers: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    finite: bool = True,
    may_be_empty: bool = False,
) -> Iterator[Table]:
    """Read a file that is larger than memory, a few hundred thousand rows at a time.

    The arguments are those of :func:`read_table`. Each table has values of its own; its lines are
    those of the file. The rows above a bad one may be yielded before it is found.

    Raises:
        DatasetError: As :func:`read_table` does.
    """
    layout = scan_layout(path, text, numbers, optional, header, finite, may_be_empty)
    return _pieces(layout)


def _pieces(layout: Layout) -> Iterator[Table]:
    lines, builder = _Lines(layout), _TableBuilder(layout)
    for batch in _batches(layout):
        builder.add(batch)
        if builder.rows >= _ROWS_PER_TABLE:
            yield builder.build(lines)
            builder = _TableBuilder(layout)
    if builder.rows:
        yield builder.build(lines)


def _batches(layout: Layout) -> Iterator[pa.RecordBatch]:
    """Yield the columns of some rows at a time; the name of a column is its position."""
    if not layout.has_rows:  # for which the parser has no word but an error
        return
    try:
        with _parser(layout) as batches:
            for batch in batches:
                _expect_values(layout, batch)
                yield batch
    except pa.ArrowInvalid as error:
        refuse_first_fault(layout)
        raise DatasetError(f"not a CSV file ({error})", where=layout.path) from error


def _parser(layout: Layout) -> pyarrow.csv.CSVStreamingReader:
    texts = dict.fromkeys(map(str, layout.text.values()), pa.dictionary(pa.int32(), pa.string()))
    types = texts | dict.fromkeys(map(str, layout.numbers.values()), pa.float64())
    return pyarrow.csv.open_csv(
        pa.OSFile(str(layout.path)),  # a path would be unpacked by its suffix
        read_options=pyarrow.csv.ReadOptions(
            block_size=_BLOCK_BYTES,
            skip_rows=layout.header_lines,
            column_names=list(map(str, range(layout.width))),
        ),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=pyarrow.csv.ConvertOptions(
            include_columns=list(types), column_types=types, null_values=[]
        ),
    )


def _expect_values(layout: Layout, batch: pa.RecordBatch) -> None:
    for position in layout.text.values():
        if batch.column(str(position)).dictionary.index("").as_py() >= 0:
            raise pa.ArrowInvalid(f"an empty value in column {position + 1}")
    for position in layout.numbers.values():
        if layout.finite and not np.isfinite(batch.column(str(position)).to_numpy()).all():
            raise pa.ArrowInvalid(f"a number that is not finite in column {position + 1}")


class _Lines:
    """The line of each row: counted, or looked up in a file where not each line is a row."""

    def __init__(self, layout: Layout) -> None:
        self._next = layout.header_lines + 1
        self._scan = None if has_a_row_a_line(layout.path) else row_lines(layout)

    def take(self, count: int) -> IntArray:
        if self._scan:
            return np.fromiter(islice(self._scan, count), np.int64, count)
        start, self._next = self._next, self._next + count
        return np.arange(start, self._next)


class _TableBuilder:
    def __init__(self, layout: Layout) -> None:
        self.rows = 0
        self._text = {name: (str(at), TextColumn()) for name, at in layout.text.items()}
        self._numbers = {
            name: (str(at), GrowingArray(np.float64)) for name, at in layout.numbers.items()
        }

    def add(self, batch: pa.RecordBatch) -> None:
        self.rows += batch.num_rows
        for position, column in self._text.values():
            column.extend(batch.column(position))
        for position, numbers in self._numbers.values():
            numbers.extend(batch.column(position).to_numpy())

    def build(self, lines: _Lines) -> Table:
        """Return the rows; nothing can be added after that."""
        numbers = {name: column.build() for name, (_, column) in self._numbers.items()}
        text = {name: Categorical(*column.build()) for name, (_, column) in self._text.items()}
        return Table(lines.take(self.rows), text, numbers)
