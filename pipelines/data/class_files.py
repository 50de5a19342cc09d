"""Class lists: ids in the order of a classifier's rows, and their readable names.

Known are the lists of Open Images (``classes-trainable.txt`` with ``class-descriptions.csv``), of
the AE-WTN release (``ln,desc,...``), and ``Index,LabelName,DisplayName``.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

_INDEX_COLUMN = "index"
_ID_COLUMNS = ("labelname", "ln", "mid", "id", "class")
_NAME_COLUMNS = ("displayname", "desc", "name")
_HEADER_CELLS = frozenset({_INDEX_COLUMN, *_ID_COLUMNS, *_NAME_COLUMNS})
_EXPECTED = (
    "Expected one id per line, ID,NAME lines, or a CSV with a header of LabelName, DisplayName "
    "and optionally Index."
)


class _Row(NamedTuple):
    """A line of the file, in cells."""

    line: int
    cells: list[str]


class _Class(NamedTuple):
    line: int
    class_id: str
    name: str


def read_vocabulary(path: Path, names: Path | None = None) -> Vocabulary:
    """Read the classes of a classifier, in the order of its rows.

    Args:
        path: A plain list of ids, ``ID,NAME`` lines, or a CSV with a header; with an ``Index``
            column the classes are put in its order, which must count from 0.
        names: A file of ids and names, in any order and possibly of more classes; it takes
            precedence over names in ``path``. A class without a name is named by its id.

    Raises:
        DatasetError: If a file is missing or malformed, or an id is repeated; names the line.
        MismatchError: If ``names`` knows none of the classes.
    """
    classes = _read_classes(path, by_index=True)
    ids = tuple(c.class_id for c in classes)
    known = {c.class_id: c.name for c in classes}
    if names is not None:
        others = {c.class_id: c.name for c in _read_classes(names, by_index=False)}
        if known.keys().isdisjoint(others):
            raise MismatchError(
                f"none of the {len(ids)} classes of {path} is named here",
                where=names,
                mend="Classes are matched by id; pass the names of the same kind of ids.",
            )
        known |= others
    return Vocabulary(ids, tuple(known[class_id] for class_id in ids))


def read_subset(path: Path) -> Vocabulary:
    """Read some of a vocabulary's classes, in the order of the file.

    Args:
        path: As for :func:`read_vocabulary`, but an ``Index`` column is ignored: it counts the rows
            of the whole list that these lines were taken from.

    Raises:
        DatasetError: If the file is missing or malformed, or an id is repeated; names the line.
    """
    classes = _read_classes(path, by_index=False)
    return Vocabulary(tuple(c.class_id for c in classes), tuple(c.name for c in classes))


def read_class_lines(path: Path) -> dict[str, int]:
    """Return the line of each class of a list, by id.

    Raises:
        DatasetError: As :func:`read_subset` does.
    """
    return {c.class_id: c.line for c in _read_classes(path, by_index=False)}


def _read_classes(path: Path, *, by_index: bool) -> list[_Class]:
    rows = list(_read_rows(path))
    if not rows:
        raise DatasetError("the class list is empty", where=path, mend=_EXPECTED)
    if _HEADER_CELLS.isdisjoint(cell.lower() for cell in rows[0].cells):
        classes = list(_parse_list(path, rows))
    else:
        classes = _parse_table(path, rows[0], rows[1:], by_index=by_index)
    if not classes:
        raise DatasetError("the class list has no row below its header", where=path, mend=_EXPECTED)
    _refuse_bad_ids(path, classes)
    return classes


def _read_rows(path: Path) -> Iterator[_Row]:
    """Yield the lines that are not blank; line ends of any kind may be mixed."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield _Row(reader.line_num, [cell.strip() for cell in cells])
    except FileNotFoundError as error:
        raise DatasetError("no such file", where=path) from error
    except IsADirectoryError as error:
        raise DatasetError("a folder, not a class list", where=path, mend=_EXPECTED) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"not a class list ({error})", where=path, mend=_EXPECTED) from error


def _parse_list(path: Path, rows: Sequence[_Row]) -> Iterator[_Class]:
    width = len(rows[0].cells)
    for line, cells in rows:
        if len(cells) != width or width > 2:
            raise DatasetError(
                f"{len(cells)} cells where {min(width, 2)} were expected",
                where=f"{path}:{line}",
                mend=f"{_EXPECTED} Quote a name that holds a comma.",
            )
        yield _Class(line, cells[0], cells[-1] or cells[0])


def _parse_table(path: Path, header: _Row, rows: Sequence[_Row], *, by_index: bool) -> list[_Class]:
    columns = [cell.lower() for cell in header.cells]
    id_column = name_column = _find_column(path, header, _ID_COLUMNS, "LabelName")
    if len(columns) > 1:
        name_column = _find_column(path, header, _NAME_COLUMNS, "DisplayName")
    for line, cells in rows:
        if len(cells) != len(columns):
            raise DatasetError(
                f"{len(cells)} cells where the header has {len(columns)}", where=f"{path}:{line}"
            )
    classes = [
        _Class(line, cells[id_column], cells[name_column] or cells[id_column])
        for line, cells in rows
    ]
    if not by_index or _INDEX_COLUMN not in columns:
        return classes
    indices = [cells[columns.index(_INDEX_COLUMN)] for _, cells in rows]
    return _in_index_order(path, classes, indices)


def _find_column(path: Path, header: _Row, known: Sequence[str], customary: str) -> int:
    columns = [cell.lower() for cell in header.cells]
    for name in known:
        if name in columns:
            return columns.index(name)
    raise DatasetError(
        f"the column {customary} is missing; the columns are {', '.join(header.cells)}",
        where=f"{path}:{header.line}",
        mend=_EXPECTED,
    )


def _in_index_order(path: Path, classes: Sequence[_Class], indices: Sequence[str]) -> list[_Class]:
    ordered: dict[int, _Class] = {}
    for entry, text in zip(classes, indices, strict=True):
        index = int(text) if text.isdecimal() else -1
        if not 0 <= index < len(classes) or index in ordered:
            problem = "repeated" if index in ordered else f"not in 0..{len(classes) - 1}"
            raise DatasetError(f"Index {text!r} is {problem}", where=f"{path}:{entry.line}")
        ordered[index] = entry
    return [ordered[index] for index in range(len(ordered))]


def _refuse_bad_ids(path: Path, classes: Sequence[_Class]) -> None:
    first_lines: dict[str, int] = {}
    for entry in sorted(classes, key=lambda c: c.line):
        where = f"{path}:{entry.line}"
        if not entry.class_id:
            raise DatasetError("the class id is empty", where=where)
        if entry.class_id in first_lines:
            raise DatasetError(
                f"class id {entry.class_id!r} is repeated, first in line "
                f"{first_lines[entry.class_id]}",
                where=where,
                mend="Give every class an id of its own.",
            )
        first_lines[entry.class_id] = entry.line
