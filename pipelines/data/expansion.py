"""Expand annotations along the class hierarchy, as the Open Images challenge does for evaluation.

Shapes: n rows.

The rule is that of ``oid_hierarchical_labels_expansion.py`` in the TensorFlow Object Detection API,
with duplicates removed: a class that stands in the tree twice would otherwise double its boxes, and
no detection can ever match the second copy.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.box_policy import box_faults
from pipelines.data.tables import IntArray
from pipelines.vocabulary import ClassHierarchy


def expand_boxes(table: BoxTable, hierarchy: ClassHierarchy) -> BoxTable:
    """Add a copy of each box for every class above its own; equal boxes are kept once."""
    class_ids = _closure(table.class_ids, hierarchy.ancestors_of)
    targets = _targets(table.class_ids, class_ids, hierarchy.ancestors_of)
    rows, label = _repeat_for(targets, table.label)
    expanded = replace(table.select(rows), class_ids=class_ids, label=label)
    return expanded.select(~box_faults(expanded).duplicate)


def expand_image_labels(table: ImageLabelTable, hierarchy: ClassHierarchy) -> ImageLabelTable:
    """Add to each present class those above it, and to each absent class those below it."""
    up, down = hierarchy.ancestors_of, hierarchy.descendants_of
    class_ids = _closure(table.class_ids, lambda name: up(name) | down(name))
    targets = [
        *_targets(table.class_ids, class_ids, down),
        *_targets(table.class_ids, class_ids, up),
    ]
    rows, label = _repeat_for(targets, table.label + len(table.class_ids) * table.positive)
    image, positive = table.image[rows], table.positive[rows]
    kept = _first_of_each(image, label, positive)
    return replace(
        table, image=image[kept], class_ids=class_ids, label=label[kept], positive=positive[kept]
    )


_Relatives = Callable[[str], Iterable[str]]


def _closure(class_ids: Sequence[str], relatives: _Relatives) -> tuple[str, ...]:
    return tuple(sorted(set(class_ids).union(*map(relatives, class_ids))))


def _targets(
    class_ids: Sequence[str], expanded_ids: Sequence[str], relatives: _Relatives
) -> list[list[int]]:
    """Return for each class the positions of itself and its relatives in ``expanded_ids``."""
    position = {name: index for index, name in enumerate(expanded_ids)}
    return [
        [position[name], *sorted(position[relative] for relative in relatives(name))]
        for name in class_ids
    ]


def _repeat_for(targets: Sequence[Sequence[int]], codes: IntArray) -> tuple[IntArray, IntArray]:
    """Return the row and the new label of every copy; row ``i`` goes to ``targets[codes[i]]``."""
    counts = np.array([len(labels) for labels in targets], np.int64)
    flat = np.array([label for labels in targets for label in labels], np.int64)
    copies = counts[codes]
    rows = np.repeat(np.arange(len(codes)), copies)
    nth_copy = np.arange(len(rows)) - np.repeat(copies.cumsum() - copies, copies)
    return rows, flat[(counts.cumsum() - counts)[codes[rows]] + nth_copy]


def _first_of_each(*columns: NDArray[np.generic]) -> IntArray:
    """Return, in order, the first row of each distinct combination of values."""
    order = np.lexsort(columns)  # stable, so a run of equals starts with its first row
    differs = [column[order][1:] != column[order][:-1] for column in columns]
    starts = np.append(True, np.logical_or.reduce(differs))[: len(order)]
    return np.sort(order[starts])
