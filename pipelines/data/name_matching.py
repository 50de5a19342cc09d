"""Find the classes that free names mean.

Shapes: m names, K classes.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np

from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

UNMATCHED, EXCLUDED, AMBIGUOUS = -1, -2, -3  # in place of a class


class NameMeanings:
    """What each of some names means, letter case and blanks aside.

    A name that no class bears is looked up once more through its aliases. Plurals are names like
    all others: ``object_alias.txt`` of Visual Genome lists them. Nothing is guessed: a name that
    several classes bear has no class.

    Args:
        names: ``[m]``.
        vocabulary: ``[K]``; its names are what the names are compared with.
        aliases: Groups of names that mean the same; a name may be in several groups.
        exclude: Ids of classes that are set aside before anything is called ambiguous.

    Attributes:
        label: ``[m]``, positions in the vocabulary; UNMATCHED without a class of the name,
            EXCLUDED if all of them are excluded, AMBIGUOUS if several are not.
        ambiguous: The ids of the classes that a name might mean.
        colliding: The ids of the class that a name means and of the excluded ones with this name.
    """

    def __init__(
        self,
        names: Sequence[str],
        vocabulary: Vocabulary,
        aliases: Iterable[Sequence[str]] = (),
        exclude: Collection[str] = (),
    ) -> None:
        self.vocabulary = vocabulary
        self.label = np.full(len(names), UNMATCHED)
        self.ambiguous: dict[str, tuple[str, ...]] = {}
        self.colliding: dict[str, tuple[str, ...]] = {}
        by_name = _rows_by_name(vocabulary)
        by_alias = _rows_by_alias(by_name, aliases)
        excluded = {vocabulary.positions[i] for i in exclude if i in vocabulary}
        for code, name in enumerate(map(normalise, names)):
            if rows := by_name.get(name) or by_alias.get(name):
                self.label[code] = self._choose(name, rows, rows - excluded)

    def _choose(self, name: str, rows: set[int], left: set[int]) -> int:
        ids = tuple(self.vocabulary.ids[row] for row in sorted(rows))
        if not left:
            return EXCLUDED
        if len(left) > 1:
            self.ambiguous[name] = ids
            return AMBIGUOUS
        if len(left) < len(rows):
            self.colliding[name] = ids
        return min(left)


def normalise(name: str) -> str:
    """Return the name in lower case, with single blanks and none at its ends."""
    return " ".join(name.casefold().split())


def read_aliases(path: Path) -> list[list[str]]:
    """Read one group of names a line, separated by commas, as in object_alias.txt.

    Raises:
        DatasetError: If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"the aliases cannot be read ({error})", where=path) from error
    groups = ([name for name in line.split(",") if name.strip()] for line in lines)
    return [group for group in groups if group]


def _rows_by_name(vocabulary: Vocabulary) -> dict[str, set[int]]:
    by_name: defaultdict[str, set[int]] = defaultdict(set)
    for row, name in enumerate(vocabulary.names):
        by_name[normalise(name)].add(row)
    return dict(by_name)


def _rows_by_alias(
    by_name: dict[str, set[int]], aliases: Iterable[Sequence[str]]
) -> dict[str, set[int]]:
    by_alias: defaultdict[str, set[int]] = defaultdict(set)
    for group in aliases:
        names = [normalise(name) for name in group]
        rows = {row for name in names for row in by_name.get(name, ())}
        for name in names:
            by_alias[name] |= rows
    return dict(by_alias)
