"""Read the columns of a CSV file into arrays.

Shapes: n rows.

One function stands between the program and the file, so a faster parser can take its place.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DatasetError, did_you_mean

if TYPE_CHECKING:
    from _csv import Reader  # the type of csv.reader(), which the module csv does not name

IntArray: TypeAlias = NDArray[np.int64]
FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]

_ROWS_PER_CHUNK = 1 << 16  # converted at once, so a large file never lives in memory as text


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
        numbers: The number columns, by name, ``[n]`` each and finite.
    """

    lines: IntArray
    text: Mapping[str, Categorical]
    numbers: Mapping[str, FloatArray]


def read_table(
    path: Path,
    *,
    text: Sequence[str],
    numbers: Sequence[str],
    optional: Sequence[str] = (),
    header: Sequence[str] | None = None,
    may_be_empty: bool = False,
) -> Table:
    """Read the named columns; others are ignored, as are blank lines and a byte order mark.

    Args:
        path: A comma-separated UTF-8 file with any line ends.
        text: Columns of ids.
        numbers: Columns of finite numbers.
        optional: Columns of finite numbers that are left out where the file lacks them.
        header: The columns of a file whose first line is already a row.
        may_be_empty: Accept a file that has no row below its header.

    Raises:
        DatasetError: If the file is missing, empty or not UTF-8, lacks a column, or holds a row of
            another length, an empty id or something that is not a finite number.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            names = list(header) if header else _header(path, reader)
            numbers = [*numbers, *(name for name in optional if name in names)]
            positions = [_position(path, names, name) for name in (*text, *numbers)]
            table = _parse(path, _records(path, reader, len(names)), positions, text, numbers)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise DatasetError(
            "no such file" if missing else str(error.strerror), where=path
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"not UTF-8 text (found byte 0x{error.object[error.start]:02x})",
            where=path,
            mend="Save the file as UTF-8; if it is compressed, unpack it first.",
        ) from error
    except csv.Error as error:
        raise DatasetError(f"not a CSV file ({error})", where=path) from error
    if not (may_be_empty or len(table.lines)):
        raise DatasetError("the file has no rows", where=path)
    return table


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    names = next((fields for fields in reader if fields), None)
    if names is None:
        raise DatasetError("the file is empty", where=path, mend="Expected a header and rows.")
    return [name.strip() for name in names]


def _position(path: Path, names: Sequence[str], name: str) -> int:
    if name not in names:
        raise DatasetError(
            f"column {name!r} is missing; the columns are {', '.join(names)}",
            where=path,
            mend=did_you_mean(name, names) or f"Name the column {name} in the first line.",
        )
    return names.index(name)


_Record: TypeAlias = tuple[int, list[str]]  # a line number and the fields that end there


def _records(path: Path, reader: "Reader", width: int) -> Iterator[_Record]:
    for fields in reader:
        if len(fields) == width:
            yield reader.line_num, fields
        elif fields:
            raise DatasetError(
                f"the row has {len(fields)} fields where {width} were expected",
                where=f"{path}:{reader.line_num}",
                mend="Complete the row or remove it; a value with a comma needs quotes.",
            )


def _parse(
    path: Path,
    records: Iterator[_Record],
    positions: Sequence[int],
    text: Sequence[str],
    numbers: Sequence[str],
) -> Table:
    texts = [_TextColumn(path, name) for name in text]
    floats = [_NumberColumn(path, name) for name in numbers]
    wanted: list[_TextColumn | _NumberColumn] = [*texts, *floats]
    line_chunks = [np.empty(0, np.int64)]
    while chunk := list(islice(records, _ROWS_PER_CHUNK)):
        lines = np.fromiter((line for line, _ in chunk), np.int64, len(chunk))
        columns = list(zip(*(fields for _, fields in chunk), strict=True))
        line_chunks.append(lines)
        for column, position in zip(wanted, positions, strict=True):
            column.extend(columns[position], lines)
    return Table(
        np.concatenate(line_chunks),
        {column.name: column.finish() for column in texts},
        {column.name: column.finish() for column in floats},
    )


class _TextColumn:
    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._codes: dict[str, int] = {}  # in the order of appearance
        self._chunks = [np.empty(0, np.int64)]

    def extend(self, values: Sequence[str], lines: IntArray) -> None:
        if "" in values:
            raise DatasetError(
                f"{self.name} is empty",
                where=f"{self.path}:{lines[values.index('')]}",
                mend="Fill it in or remove the row.",
            )
        codes = self._codes
        coded = (codes.setdefault(value, len(codes)) for value in values)
        self._chunks.append(np.fromiter(coded, np.int64, len(values)))

    def finish(self) -> Categorical:
        values = sorted(self._codes)
        rank = np.empty(len(values), np.int64)
        rank[[self._codes[value] for value in values]] = np.arange(len(values))
        return Categorical(tuple(values), rank[np.concatenate(self._chunks)])


class _NumberColumn:
    def __init__(self, path: Path, name: str) -> None:
        self.path, self.name = path, name
        self._chunks = [np.empty(0, np.float64)]

    def extend(self, values: Sequence[str], lines: IntArray) -> None:
        try:
            parsed = np.fromiter(map(float, values), np.float64, len(values))
        except ValueError:
            parsed = np.full(len(values), np.nan)
        if not np.isfinite(parsed).all():
            row = next(row for row, value in enumerate(values) if not _is_finite_number(value))
            raise DatasetError(
                f"{self.name} must be a finite number, found {values[row]!r}",
                where=f"{self.path}:{lines[row]}",
                mend="Correct the value or remove the row.",
            )
        self._chunks.append(parsed)

    def finish(self) -> FloatArray:
        return np.concatenate(self._chunks)


def _is_finite_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
