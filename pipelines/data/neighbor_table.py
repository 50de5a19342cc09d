"""A table of which seen class each class without boxes borrows from, instead of a computed one.

Two kinds of CSV are known:

- ``LabelName,NeighborName``, both class ids; a class with several lines borrows equally from all.
- ``ln,...,clsnet_ind_common``, as novel-class-descriptions.csv and vg-class-descriptions.csv of the
  official release (xternalz/AE-WTN): the nearest seen class is a row, counted from 0, of another
  class file (challenge-2018-class-descriptions-new.csv).
"""

import csv
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines.data.class_files import read_subset
from pipelines.data.tables import Categorical, read_table
from pipelines.errors import ConfigError, DatasetError, MismatchError, did_you_mean, unreadable
from pipelines.vocabulary import Vocabulary

_PLAIN = ("LabelName", "NeighborName")
_RELEASED = ("ln", "clsnet_ind_common")


class _Pair(NamedTuple):
    """A line of the table."""

    where: str
    class_id: str
    neighbor: str


def read_neighbors(
    path: Path, counted: Path | None, classifier: Vocabulary, seen: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Read the neighbours of each class in the table.

    Args:
        path: The table.
        counted: The class file that ``clsnet_ind_common`` counts rows of.
        classifier: The classes that may borrow.
        seen: Those that have boxes, which lend.

    Raises:
        ConfigError: If ``counted`` is missing, or given for a table of ids.
        DatasetError: If a file is bad, or a pair is repeated; names the line.
        MismatchError: If a class is unknown or has boxes itself, or its neighbour has none; names
            the line.
    """
    neighbors: dict[str, tuple[str, ...]] = {}
    for pair in _read_pairs(path, counted):
        _check_pair(pair, classifier, seen)
        known = neighbors.get(pair.class_id, ())
        if pair.neighbor in known:
            raise DatasetError(
                f"{pair.class_id!r} and {pair.neighbor!r} are listed more than once",
                where=pair.where,
                mend="Remove one of the lines.",
            )
        neighbors[pair.class_id] = (*known, pair.neighbor)
    return neighbors


def _read_pairs(path: Path, counted: Path | None) -> Iterator[_Pair]:
    released = _RELEASED[1] in _columns(path)
    if released and counted is None:
        raise ConfigError(
            f"{_RELEASED[1]} counts the rows of another class file, and none is given",
            where=path,
            mend="Name it with --neighbor-classes; for the tables of the official release it is "
            "challenge-2018-class-descriptions-new.csv.",
        )
    if counted is None:
        return _plain_pairs(path)
    if released:
        return _released_pairs(path, counted)
    raise ConfigError(
        f"no column {_RELEASED[1]} counts the rows of {counted}",
        where=path,
        mend="Leave --neighbor-classes out: this table names its neighbours.",
    )


def _columns(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return next(csv.reader(file), [])
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise DatasetError(f"not a CSV file ({error})", where=path) from error


def _plain_pairs(path: Path) -> Iterator[_Pair]:
    table = read_table(path, text=_PLAIN, numbers=())
    columns = (_values(table.text[name]) for name in _PLAIN)
    for line, class_id, neighbor in zip(table.lines, *columns, strict=True):
        yield _Pair(f"{path}:{line}", class_id, neighbor)


def _released_pairs(path: Path, counted: Path) -> Iterator[_Pair]:
    table, ids = (
        read_table(path, text=_RELEASED[:1], numbers=_RELEASED[1:]),
        read_subset(counted).ids,
    )
    rows = table.numbers[_RELEASED[1]].tolist()
    classes = _values(table.text[_RELEASED[0]])
    for line, class_id, row in zip(table.lines, classes, rows, strict=True):
        if row not in range(len(ids)):
            raise DatasetError(
                f"{_RELEASED[1]} is {row:g}, not a row of {counted} (0 to {len(ids) - 1})",
                where=f"{path}:{line}",
                mend="Name the class file that the table was made with.",
            )
        yield _Pair(f"{path}:{line}", class_id, ids[int(row)])


def _values(column: Categorical) -> list[str]:
    return [column.values[code] for code in column.codes]


def _check_pair(pair: _Pair, classifier: Vocabulary, seen: Collection[str]) -> None:
    if pair.class_id not in classifier:
        raise MismatchError(
            f"the classifier has no class {pair.class_id!r}",
            where=pair.where,
            mend=did_you_mean(pair.class_id, classifier.ids) or "Classes are matched by id.",
        )
    if pair.class_id in seen:
        raise MismatchError(
            f"{pair.class_id!r} has boxes, so it borrows nothing",
            where=pair.where,
            mend="Remove the line.",
        )
    if pair.neighbor not in seen:
        raise MismatchError(
            f"the neighbour {pair.neighbor!r} is not a seen class of the detector",
            where=pair.where,
            mend=did_you_mean(pair.neighbor, seen)
            or "A neighbour needs boxes in training and a classifier row.",
        )
