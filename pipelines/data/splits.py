"""Put the tables of one split together, and take parts of a split.

Shapes: n rows, I images.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import compress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.expansion import expand_boxes, expand_image_labels
from pipelines.data.string_table import positions_in
from pipelines.data.tables import BoolArray, IntArray
from pipelines.errors import ConfigError
from pipelines.vocabulary import ClassHierarchy, Vocabulary

_MOST_SOURCES = 256  # that a byte tells apart
_Table = TypeVar("_Table", BoxTable, ImageLabelTable)


def assemble(
    boxes: Sequence[BoxTable],
    labels: Sequence[ImageLabelTable],
    vocabulary: Vocabulary,
    hierarchy: Mapping[str, Any] | None = None,
    *,
    in_place: bool = False,
) -> Annotations:
    """Return all rows as one split, by image; sizes are unknown.

    Args:
        boxes: Tables of boxes, which may share images.
        labels: Tables of image-level labels; without any, the boxes are exhaustive.
        vocabulary: The classes, in their order.
        hierarchy: The tree that belongs to them.
        in_place: Sort a table that is alone in its own memory, as :meth:`BoxTable.select` does.
    """
    tables: list[BoxTable | ImageLabelTable] = [*boxes, *labels]
    image_ids, images = _joined([table.image_ids for table in tables])
    return Annotations(
        image_ids=image_ids,
        boxes=_boxes_of(boxes, image_ids, images[: len(boxes)], in_place=in_place),
        labels=_labels_of(labels, image_ids, images[len(boxes) :]),
        vocabulary=vocabulary,
        sizes=np.zeros((len(image_ids), 2), np.int32),
        hierarchy=hierarchy,
    )


def expand(split: Annotations) -> Annotations:
    """Expand boxes and labels along the split's hierarchy; an expanded split stays as it is.

    Raises:
        ConfigError: If it has no hierarchy.
    """
    if split.expanded:
        return split
    if split.hierarchy is None:
        raise ConfigError("there is no hierarchy to expand along", mend="Pass --hierarchy.")
    hierarchy = ClassHierarchy.from_tree(split.hierarchy)
    labels = split.labels
    return replace(
        split,
        boxes=expand_boxes(split.boxes, hierarchy),
        labels=labels if labels is None else expand_image_labels(labels, hierarchy),
        expanded=True,
    )


def with_labels(split: Annotations, labels: ImageLabelTable) -> Annotations:
    """Return a split with these image-level labels, expanded if the split is."""
    if split.expanded and split.hierarchy is not None:
        labels = expand_image_labels(labels, ClassHierarchy.from_tree(split.hierarchy))
    joined = assemble([split.boxes], [labels], split.vocabulary, split.hierarchy)
    if len(joined.image_ids) == len(split.image_ids):
        sizes = split.sizes
    else:
        sizes = joined.sizes.copy()
        sizes[positions_in(joined.image_ids, split.image_ids)] = split.sizes
    return replace(joined, sizes=sizes, expanded=split.expanded)


def keep_classes(
    split: Annotations, vocabulary: Vocabulary, *, in_place: bool = False
) -> Annotations:
    """Keep the rows of the vocabulary's classes, ``in_place`` as in ``BoxTable.select``.

    The images stay.
    """
    labels = split.labels
    return replace(
        split,
        boxes=_of_classes(split.boxes, vocabulary, in_place=in_place),
        labels=None if labels is None else _of_classes(labels, vocabulary, in_place=in_place),
        vocabulary=vocabulary,
    )


def keep_images(split: Annotations, kept: BoolArray, *, in_place: bool = False) -> Annotations:
    """Keep the images of a mask ``[I]`` and their rows, ``in_place`` as in ``BoxTable.select``."""
    if kept.all():
        return split
    image_ids = tuple(compress(split.image_ids, kept))
    labels = split.labels
    return replace(
        split,
        image_ids=image_ids,
        boxes=_of_images(split.boxes, image_ids, kept, in_place=in_place),
        labels=None if labels is None else _of_images(labels, image_ids, kept, in_place=in_place),
        sizes=split.sizes[kept],
    )


def annotated_images(split: Annotations) -> BoolArray:
    """Return for each image ``[I]`` whether it has a box or a label."""
    annotated = mask_of(len(split.image_ids), split.boxes.image)
    if split.labels is not None:
        annotated |= mask_of(len(split.image_ids), split.labels.image)
    return annotated


def mask_of(size: int, positions: IntArray) -> BoolArray:
    """Return a mask ``[size]`` that is set at the positions."""
    mask = np.zeros(size, np.bool_)
    mask[positions] = True
    return mask


def _joined(sequences: Sequence[Sequence[str]]) -> tuple[Sequence[str], list[IntArray]]:
    """Return the union of sorted ids, sorted, and where those of each sequence stand in it."""
    first, *others = sequences
    if all(other is first or other == first for other in others):
        return first, [np.arange(len(first))] * len(sequences)
    union = sorted(set().union(*sequences))
    return tuple(union), [positions_in(union, ids) for ids in sequences]


def _boxes_of(
    tables: Sequence[BoxTable],
    image_ids: Sequence[str],
    images: Sequence[IntArray],
    *,
    in_place: bool,
) -> BoxTable:
    if not tables:
        return _no_boxes(image_ids)
    placed = [_placed(*pair, image_ids) for pair in zip(tables, images, strict=True)]
    if len(placed) == 1:
        return _by_image(placed[0], in_place=in_place)
    class_ids, labels = _joined([table.class_ids for table in tables])
    areas = [table.area for table in tables if table.area is not None]
    joined = BoxTable(
        image_ids=image_ids,
        image=np.concatenate([table.image for table in placed]),
        class_ids=tuple(class_ids),
        label=_chained(labels, [table.label for table in tables]),
        boxes=np.concatenate([table.boxes for table in tables]),
        group_of=np.concatenate([table.group_of for table in tables]),
        sources=tuple(source for table in tables for source in table.sources),
        source=_source_of(tables),
        rows=np.concatenate([table.rows for table in tables]),
        area=np.concatenate(areas) if len(areas) == len(tables) else None,
    )
    return _by_image(joined, in_place=True)


def _no_boxes(image_ids: Sequence[str]) -> BoxTable:
    none = np.empty(0, np.int64)
    return BoxTable(
        image_ids,
        image=none,
        class_ids=(),
        label=none,
        boxes=np.empty((0, 4)),
        group_of=np.empty(0, np.bool_),
        sources=(),
        source=np.empty(0, np.uint8),
        rows=none,
    )


def _source_of(tables: Sequence[BoxTable]) -> NDArray[np.uint8]:
    """Return the place of each row's source among those of all tables."""
    counts = [len(table.sources) for table in tables]
    if sum(counts) > _MOST_SOURCES:
        raise ConfigError(
            f"{sum(counts)} box files are more than the {_MOST_SOURCES} that a split can have",
            mend="Join some of them into one file.",
        )
    places = [np.arange(count) for count in counts]
    offsets = np.cumsum([0, *counts[:-1]])
    shifted = [place + offset for place, offset in zip(places, offsets, strict=True)]
    return _chained(shifted, [table.source for table in tables]).astype(np.uint8)


def _labels_of(
    tables: Sequence[ImageLabelTable], image_ids: Sequence[str], images: Sequence[IntArray]
) -> ImageLabelTable | None:
    if not tables:
        return None
    placed = [_placed(*pair, image_ids) for pair in zip(tables, images, strict=True)]
    class_ids, labels = _joined([table.class_ids for table in tables])
    joined = ImageLabelTable(
        image_ids=image_ids,
        image=np.concatenate([table.image for table in placed]),
        class_ids=tuple(class_ids),
        label=_chained(labels, [table.label for table in tables]),
        positive=np.concatenate([table.positive for table in tables]),
    )
    return _by_image(joined, in_place=True)


def _placed(table: _Table, places: IntArray, image_ids: Sequence[str]) -> _Table:
    """Let a table count the images of the whole split, of which its own are a part."""
    if len(table.image_ids) == len(image_ids):
        return replace(table, image_ids=image_ids)
    return replace(table, image_ids=image_ids, image=places[table.image])


def _chained(places: Sequence[IntArray], columns: Sequence[NDArray[np.integer[Any]]]) -> IntArray:
    """Return all columns, end to end, each through the places of its values."""
    return np.concatenate([p[column] for p, column in zip(places, columns, strict=True)])


def _by_image(table: _Table, *, in_place: bool) -> _Table:
    """Sort by image; the rows of an image keep their order."""
    if (table.image[1:] >= table.image[:-1]).all():
        return table
    return table.select(np.argsort(table.image, kind="stable"), in_place=in_place)


def _of_classes(table: _Table, vocabulary: Vocabulary, *, in_place: bool) -> _Table:
    known = np.fromiter((name in vocabulary for name in table.class_ids), np.bool_)
    if known.all():
        return table
    rows = table.select(known[table.label], in_place=in_place)
    class_ids = tuple(name for name in table.class_ids if name in vocabulary)
    return replace(rows, class_ids=class_ids, label=(known.cumsum() - 1)[rows.label])


def _of_images(
    table: _Table, image_ids: Sequence[str], kept: BoolArray, *, in_place: bool
) -> _Table:
    rows = table.select(kept[table.image], in_place=in_place)
    return replace(rows, image_ids=image_ids, image=(kept.cumsum() - 1)[rows.image])
