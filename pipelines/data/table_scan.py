"""Go through a CSV file record by record: its columns, the line of each row, its first fault.

This is slow and exact. The fast parser of :mod:`pipelines.data.tables` knows no line numbers, so it
comes here for the header, for lines that are not rows, and when it meets something bad.
"""

import codecs
import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import DatasetError, did_you_mean, unreadable

if TYPE_CHECKING:
    from _csv import Reader  # the type of csv.reader(), which the module csv does not name

_BLOCK_BYTES = 1 << 20
_PYTHON_ONLY = re.compile(r"[_\v\f]|[^\x00-\x7f]")  # in what is a number to float()


@dataclass(frozen=True)
class Layout:
    """Where the wanted columns of a file are.

    Args:
        path: The file.
        width: How many columns it has.
        header_lines: How many lines stand above the first row's, blank ones in between not counted.
        text: The position of each text column.
        numbers: The position of each number column.
        finite: Whether the numbers must be finite.
        has_rows: Whether there is a row.
    """

    path: Path
    width: int
    header_lines: int
    text: Mapping[str, int]
    numbers: Mapping[str, int]
    finite: bool
    has_rows: bool


def scan_layout(
    path: Path,
    text: Sequence[str],
    numbers: Sequence[str],
    optional: Sequence[str],
    header: Sequence[str] | None,
    finite: bool,
    may_be_empty: bool,
) -> Layout:
    """Find the columns by the header of the file, or by ``header`` if it has none.

    The arguments are those of :func:`pipelines.data.tables.read_table`.

    Raises:
        DatasetError: If the file cannot be read, is empty, lacks a column or has no rows.
    """
    with _opened(path) as reader:
        names = list(header) if header else _header(path, reader)
        _refuse_missing(path, names, [*text, *numbers])
        wanted = [*numbers, *(name for name in optional if name in names)]
        layout = Layout(
            path,
            width=len(names),
            header_lines=reader.line_num,
            text={name: names.index(name) for name in text},
            numbers={name: names.index(name) for name in wanted},
            finite=finite,
            has_rows=next(filter(None, reader), None) is not None,
        )
    if not (layout.has_rows or may_be_empty):
        raise DatasetError("the file has no rows", where=path)
    return layout


def has_a_row_a_line(path: Path) -> bool:
    """Return whether it is certain that each line is one row, in UTF-8, without a quote."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    last = b"\n"
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if _is_doubtful(last + block):
                return False
            try:
                decoder.decode(block)
            except UnicodeDecodeError:
                return False
            last = block[-1:]
    return not decoder.getstate()[0]  # no character is cut short


def _is_doubtful(block: bytes) -> bool:
    if b"\r" in block and (b"\r\r" in block or b"\n\r" in block):
        return True
    return b'"' in block or b"\n\n" in block


def row_lines(layout: Layout) -> Iterator[int]:
    """Yield the line that each row ends in, counted from 1.

    Raises:
        DatasetError: If the file is not CSV or not UTF-8.
    """
    return (line for line, _ in _rows(layout))


def refuse_first_fault(layout: Layout) -> None:
    """Raise DatasetError for the first row that is bad; return if there is none."""
    for line, fields in _rows(layout):
        if len(fields) != layout.width:
            raise DatasetError(
                f"the row has {len(fields)} fields where {layout.width} were expected",
                where=f"{layout.path}:{line}",
                mend="Complete the row or remove it; a value with a comma needs quotes.",
            )
        for name, position in layout.text.items():
            if not fields[position]:
                raise DatasetError(
                    f"{name} is empty",
                    where=f"{layout.path}:{line}",
                    mend="Fill it in or remove the row.",
                )
        for name, position in layout.numbers.items():
            if not _is_number(fields[position], layout.finite):
                raise DatasetError(
                    f"{name} must be a {'finite ' * layout.finite}number, "
                    f"found {fields[position]!r}",
                    where=f"{layout.path}:{line}",
                    mend="Correct the value or remove the row.",
                )


@contextmanager
def _opened(path: Path) -> Iterator["Reader"]:
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield csv.reader(file)
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise DatasetError(f"not a CSV file ({error})", where=path) from error


def _rows(layout: Layout) -> Iterator[tuple[int, list[str]]]:
    with _opened(layout.path) as reader:
        records = ((reader.line_num, fields) for fields in reader if fields)
        for line, fields in records:
            if line > layout.header_lines:
                yield line, fields


def _header(path: Path, reader: Iterator[list[str]]) -> list[str]:
    names = next(filter(None, reader), None)
    if names is None:
        raise DatasetError("the file is empty", where=path, mend="Expected a header and rows.")
    return [name.strip() for name in names]


def _refuse_missing(path: Path, names: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if not missing:
        return
    others = [name for name in names if name not in wanted]
    mend = did_you_mean(missing[0], others) or f"Name the column {missing[0]} in the first line."
    if len(names) == 1 and (separator := re.search(r"[;\t|]", names[0])):
        mend = f"Separate the columns with commas, not with {separator.group()!r}."
    raise DatasetError(
        f"column {missing[0]!r} is missing; the columns are {', '.join(names)}",
        where=path,
        mend=mend,
    )


def _is_number(text: str, finite: bool) -> bool:
    """Return whether the fast parser reads a number, which Python does in more ways: ``1_0``."""
    if _PYTHON_ONLY.search(text):
        return False
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) or not finite
