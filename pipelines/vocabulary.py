"""Ordered classes, how two vocabularies overlap, and the hierarchy above them.

Classes are joined by id (an Open Images MID, a WordNet synset), never by name: the classifier calls
``/m/0k0pj`` "Nose" where the box dataset says "Human nose" (Open Images v2 and the 2018 challenge).
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pipelines.errors import DatasetError, MismatchError, did_you_mean, unreadable

CLASS_GROUPS = ("seen", "other", "novel")  # see ClassPartition


@dataclass(frozen=True)
class Vocabulary:
    """Classes in the order of a matrix's rows.

    Args:
        ids: The source's own ids; all distinct.
        names: A readable name for each id.

    Raises:
        DatasetError: If an id is repeated or empty, or the two lengths differ.
    """

    ids: tuple[str, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.names):
            raise DatasetError(f"there are {len(self.ids)} class ids but {len(self.names)} names")
        repeated = [class_id for class_id, count in Counter(self.ids).items() if count > 1]
        if repeated:
            raise DatasetError(
                f"class id {repeated[0]!r} is listed more than once "
                f"({len(repeated)} ids are repeated)",
                mend="Give every class an id of its own.",
            )
        if "" in self.positions:
            raise DatasetError(f"class {self.positions['']} has an empty id")

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, class_id: object) -> bool:
        return class_id in self.positions

    @cached_property
    def positions(self) -> dict[str, int]:
        """Map each id to its row."""
        return {class_id: row for row, class_id in enumerate(self.ids)}

    @cached_property
    def name_of(self) -> dict[str, str]:
        """Map each id to its name."""
        return dict(zip(self.ids, self.names, strict=True))

    def rows(self, ids: Iterable[str]) -> list[int]:
        """Return the row of each id.

        Raises:
            MismatchError: If an id is not in the vocabulary; names the nearest one that is.
        """
        wanted = list(ids)
        unknown = [class_id for class_id in wanted if class_id not in self.positions]
        if unknown:
            nearest = did_you_mean(unknown[0], self.ids)
            raise MismatchError(
                f"unknown class {unknown[0]!r} ({len(unknown)} of {len(wanted)} are unknown "
                f"among {len(self)} classes)",
                mend=nearest or "Classes are matched by id, not by name.",
            )
        return [self.positions[class_id] for class_id in wanted]

    def subset(self, rows: Sequence[int]) -> "Vocabulary":
        """Return the classes of ``rows``, in that order."""
        return Vocabulary(
            tuple(self.ids[row] for row in rows), tuple(self.names[row] for row in rows)
        )


@dataclass(frozen=True)
class ClassPartition:
    """The paper's S, O and N, by id.

    seen (S) have boxes and a classifier row; other (O) have boxes only; novel (N) have a classifier
    row only. Seen and other keep the order of the box dataset, novel that of the classifier.
    """

    seen: tuple[str, ...]
    other: tuple[str, ...]
    novel: tuple[str, ...]

    @classmethod
    def of(cls, classifier: Vocabulary, detection: Vocabulary) -> "ClassPartition":
        """Split the classes of a classifier and of a box dataset."""
        return cls(
            seen=tuple(i for i in detection.ids if i in classifier),
            other=tuple(i for i in detection.ids if i not in classifier),
            novel=tuple(i for i in classifier.ids if i not in detection),
        )

    def group_of(self, class_id: str) -> str:
        """Return ``"seen"``, ``"other"`` or ``"novel"``."""
        return self._groups.get(class_id, "novel")

    @cached_property
    def _groups(self) -> dict[str, str]:
        return dict.fromkeys(self.seen, "seen") | dict.fromkeys(self.other, "other")


@dataclass(frozen=True)
class ClassHierarchy:
    """Which classes stand above and below each class, transitively, self excluded."""

    ancestors: Mapping[str, frozenset[str]]
    descendants: Mapping[str, frozenset[str]]

    @classmethod
    def flat(cls) -> "ClassHierarchy":
        """Return the hierarchy in which no class stands above another."""
        return cls({}, {})

    @classmethod
    def from_json(
        cls, path: Path, ids: Iterable[str] | None = None, *, official: bool = False
    ) -> "ClassHierarchy":
        """Read the nested ``LabelName`` / ``Subcategory`` tree of Open Images.

        The root is virtual and dropped; ``Part`` relations are not used.

        Args:
            path: The JSON file.
            ids: The classes to keep, by default all; a dropped class in between does not break a
                relation.
            official: Keep for each class only the ancestors on one path, as the tables released
                with the paper do (they lack 25 pairs), instead of the transpose of the descendants.

        Raises:
            DatasetError: If the file cannot be read or is not such a tree.
        """
        try:
            return cls.from_tree(json.loads(path.read_text()), ids, official=official)
        except OSError as error:
            raise unreadable(path, error) from error
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise DatasetError(
                f"not a class hierarchy ({error})",
                where=path,
                mend="Expected nested objects with LabelName and Subcategory, as in the Open "
                "Images bbox_labels_600_hierarchy.json.",
            ) from error

    @classmethod
    def from_tree(
        cls, tree: Mapping[str, Any], ids: Iterable[str] | None = None, *, official: bool = False
    ) -> "ClassHierarchy":
        """Build the closure of a parsed tree; see :meth:`from_json`."""
        kept = None if ids is None else frozenset(ids)
        descendants: dict[str, set[str]] = {name: set() for name in kept or ()}
        one_path: dict[str, frozenset[str]] = {}

        def visit(node: Mapping[str, Any], above: tuple[str, ...]) -> None:
            name = node["LabelName"]
            if kept is None or name in kept:
                descendants.setdefault(name, set())
                for ancestor in above:
                    descendants[ancestor].add(name)
                if above:  # the released tables kept the last path that has ancestors
                    one_path[name] = frozenset(above)
                above = (*above, name)
            for child in node.get("Subcategory", ()):
                visit(child, above)

        for child in tree["Subcategory"]:
            visit(child, ())
        below = {name: frozenset(names - {name}) for name, names in descendants.items()}
        return cls(one_path if official else _transpose(below), below)

    def refuse_disjoint(self, ids: Sequence[str], where: Path) -> None:
        """Raise MismatchError if the hierarchy, read from ``where``, knows none of the classes."""
        if self.descendants.keys().isdisjoint(ids):
            raise MismatchError(
                f"the hierarchy knows none of the {len(ids)} classes, such as {ids[0]!r}",
                where=where,
                mend="Use the hierarchy that belongs to the boxes; classes are joined by id.",
            )

    def ancestors_of(self, class_id: str) -> frozenset[str]:
        """Return all classes above ``class_id``."""
        return self.ancestors.get(class_id, frozenset())

    def descendants_of(self, class_id: str) -> frozenset[str]:
        """Return all classes below ``class_id``."""
        return self.descendants.get(class_id, frozenset())


def _transpose(relation: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    inverse: dict[str, set[str]] = {name: set() for name in relation}
    for name, others in relation.items():
        for other in others:
            inverse[other].add(name)
    return {name: frozenset(others) for name, others in inverse.items()}
