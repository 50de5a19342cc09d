"""The annotations of a split, from the files of Open Images or from an index made of any files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.annotations import Annotations, BoxTable
from pipelines.data.box_policy import ReadPolicy, check_boxes
from pipelines.data.class_files import read_vocabulary
from pipelines.data.index import is_index, open_index
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.splits import assemble, with_labels
from pipelines.errors import MismatchError, did_you_mean
from pipelines.vocabulary import ClassHierarchy, Vocabulary


def load_annotations(
    boxes: Path,
    *,
    image_labels: Path | None = None,
    hierarchy: Path | None = None,
    classes: Path | None = None,
    policy: ReadPolicy = "error",
) -> Annotations:
    """Read the annotations of a split.

    What is named beside an index wins over what the index holds.

    Args:
        boxes: An Open Images box CSV, or an index made by ``wtn prepare``.
        image_labels: Verified image-level labels; with an index whose rows are expanded along the
            hierarchy, they are expanded too.
        hierarchy: Hierarchy JSON. Nothing is expanded along it here.
        classes: Class list that sets the vocabulary; by default the index's, or the ids in the box
            CSV, sorted.
        policy: What to do with bad boxes, as for ``check_boxes``; an index was checked when it was
            made, so this matters only for one that keeps them.

    Raises:
        DatasetError: If a file is bad.
        ArtifactError: If an index is not complete.
        MismatchError: If a box is of a class outside ``classes``, or ``hierarchy`` is not the one
            that the index is expanded along.
    """
    if is_index(boxes):
        split = _load_index(boxes, policy)
    else:
        table = read_boxes(boxes, policy)
        split = assemble([table], [], Vocabulary(table.class_ids, table.class_ids), in_place=True)
    if classes is not None:
        split = replace(split, vocabulary=read_vocabulary(classes))
        refuse_unknown_classes(split.boxes, split.vocabulary)
    if hierarchy is not None:
        split = _with_hierarchy(split, hierarchy)
    return with_labels(split, read_image_labels(image_labels)) if image_labels else split


def read_hierarchy(path: Path, vocabulary: Vocabulary) -> Mapping[str, Any]:
    """Read the tree of a hierarchy JSON.

    Raises:
        DatasetError: If the file cannot be read or is not such a tree.
        MismatchError: If it knows none of the classes.
    """
    ClassHierarchy.from_json(path).refuse_disjoint(vocabulary.ids, path)
    tree: Mapping[str, Any] = json.loads(path.read_text())
    return tree


def refuse_unknown_classes(boxes: BoxTable, vocabulary: Vocabulary) -> None:
    """Raise MismatchError if a box is of a class outside the vocabulary; names its row."""
    unknown = np.array([name not in vocabulary for name in boxes.class_ids], np.bool_)
    if not unknown.any():
        return
    rows = np.flatnonzero(unknown[boxes.label])
    if not len(rows):
        return
    class_id = boxes.class_ids[int(boxes.label[rows[0]])]
    raise MismatchError(
        f"class {class_id!r} is not among the {len(vocabulary)} classes; {len(rows)} of "
        f"{len(boxes)} boxes are of such classes",
        where=boxes.where(int(rows[0])),
        mend=did_you_mean(class_id, vocabulary.ids)
        or "Add it to the class list, or remove its boxes.",
    )


def _load_index(path: Path, policy: ReadPolicy) -> Annotations:
    index = open_index(path)
    if index.policy != "keep":
        return index.annotations
    boxes = check_boxes(index.annotations.boxes, policy)
    return replace(index.annotations, boxes=boxes)


def _with_hierarchy(split: Annotations, path: Path) -> Annotations:
    tree = read_hierarchy(path, split.vocabulary)
    if split.expanded and tree != split.hierarchy:
        raise MismatchError(
            "not the hierarchy that the boxes are expanded along",
            where=path,
            mend="Leave the hierarchy out, or prepare the boxes again with this one.",
        )
    return replace(split, hierarchy=tree)
