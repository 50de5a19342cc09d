"""The classes of an evaluation, and which of them are seen, novel or other."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pipelines.artifacts import DetectionHead
from pipelines.data.annotations import Annotations
from pipelines.data.class_choice import GROUPS, choose_rows
from pipelines.data.class_files import read_subset
from pipelines.errors import ConfigError, did_you_mean
from pipelines.vocabulary import ClassHierarchy, Vocabulary

GROUP_ORDER = ("seen", "novel", "other")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class EvaluatedClasses:
    """Classes in their order.

    Args:
        vocabulary: Their ids and names.
        groups: ``seen``, ``other`` or ``novel`` for each of them, or ``unknown``.
        above_seen: The ids of all classes that stand above one with training boxes; None where no
            hierarchy tells.
    """

    vocabulary: Vocabulary
    groups: tuple[str, ...]
    above_seen: frozenset[str] | None = None

    @cached_property
    def members(self) -> dict[str, tuple[str, ...]]:
        """The class ids of each group that has any, and last those of all classes.

        A novel class above a seen one is new as a label, not to the eye, so where a hierarchy tells
        of some, the novel classes are also given in two parts: ``novel_ancestors``, above a seen
        class, and ``novel_others``, which are leaves, or above novel classes only.
        """
        by_group: dict[str, tuple[str, ...]] = {}
        for group in GROUP_ORDER:
            pairs = zip(self.vocabulary.ids, self.groups, strict=True)
            by_group[group] = tuple(class_id for class_id, own in pairs if own == group)
            novel, above = by_group[group], self.above_seen or ()
            if group == "novel" and not set(novel).isdisjoint(above):
                by_group["novel_ancestors"] = tuple(i for i in novel if i in above)
                by_group["novel_others"] = tuple(i for i in novel if i not in above)
        return {name: ids for name, ids in by_group.items() if ids} | {"all": self.vocabulary.ids}

    def ids_of(self, chosen: Sequence[str]) -> tuple[str, ...]:
        """Return the ids of classes that are named by id or by readable name.

        Raises:
            ConfigError: If there is no such class.
        """
        id_of = {name: class_id for class_id, name in self.vocabulary.name_of.items()}
        unknown = [c for c in chosen if c not in self.vocabulary and c not in id_of]
        if unknown:
            raise ConfigError(
                f"{unknown[0]!r} is not among the {len(self.vocabulary)} evaluated classes",
                mend=did_you_mean(unknown[0], [*self.vocabulary.ids, *id_of])
                or "Name a class by its id or its readable name.",
            )
        return tuple(c if c in self.vocabulary else id_of[c] for c in chosen)

    def require_seen_and_novel(self) -> None:
        """Raise ConfigError unless there are classes of both groups."""
        missing = [group for group in ("seen", "novel") if group not in self.groups]
        if missing:
            raise ConfigError(
                f"a joint evaluation needs seen and novel classes; there is no {missing[0]} one",
                mend="Give --head or --seen-classes, and leave --classes out or give both groups.",
            )


def classes_of_head(
    vocabulary: Vocabulary, groups: Sequence[str], rows: Sequence[int], annotations: Annotations
) -> EvaluatedClasses:
    """Return the classes in some rows of a head, given all its classes and their groups."""
    pairs = zip(vocabulary.ids, groups, strict=True)
    boxed = frozenset(class_id for class_id, group in pairs if group != "novel")
    chosen = tuple(groups[row] for row in rows)
    return EvaluatedClasses(vocabulary.subset(rows), chosen, _above(boxed, annotations))


def choose_classes(
    annotations: Annotations, choice: str | None, head: Path | None, seen: Path | None
) -> EvaluatedClasses:
    """Return the classes on which a file of predictions is evaluated.

    Args:
        annotations: The ground truth; without a choice and a head, the classes with boxes are
            evaluated.
        choice: A class file, or a group of the head's classes.
        head: Tells which class is seen and which is novel; its classes are evaluated.
        seen: A file of the seen classes, in place of a head; the others are novel.

    Raises:
        ConfigError: If a group is chosen without a head, or there is both a head and a file of seen
            classes.
        WTNError: If a file is bad.
    """
    if head is not None and seen is not None:
        raise ConfigError("--head tells which classes are seen; leave out --seen-classes")
    if head is not None:
        known = DetectionHead.load(head)
        rows = choose_rows(choice or "all", known.vocabulary, known.groups)
        return classes_of_head(known.vocabulary, known.groups, rows, annotations)
    vocabulary = _chosen(annotations, choice)
    if seen is not None:
        boxed = frozenset(read_subset(seen).ids)
        groups = tuple("seen" if class_id in boxed else "novel" for class_id in vocabulary.ids)
        return EvaluatedClasses(vocabulary, groups, _above(boxed, annotations))
    return EvaluatedClasses(vocabulary, (UNKNOWN,) * len(vocabulary))


def _chosen(annotations: Annotations, choice: str | None) -> Vocabulary:
    if choice in GROUPS:
        raise ConfigError(
            f"which classes are {choice!r} is known to a head only",
            mend="Give --head too, or a file of class ids.",
        )
    if choice is not None:
        return read_subset(Path(choice))
    name_of, ids = annotations.vocabulary.name_of, annotations.boxes.class_ids
    return Vocabulary(ids, tuple(name_of.get(class_id, class_id) for class_id in ids))


def _above(boxed: frozenset[str], annotations: Annotations) -> frozenset[str] | None:
    """Return the classes that stand above one with training boxes, if a hierarchy tells."""
    if annotations.hierarchy is None:
        return None
    hierarchy = ClassHierarchy.from_tree(annotations.hierarchy)
    return frozenset().union(*(hierarchy.ancestors_of(class_id) for class_id in boxed))
