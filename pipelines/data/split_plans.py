"""Which part of a dataset becomes which split, and what must come out.

Shapes: I images.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path, PurePath

import numpy as np

from pipelines.data.annotations import Annotations
from pipelines.data.image_ids import read_image_ids
from pipelines.data.image_listing import SUFFIXES
from pipelines.data.splits import (
    annotated_images,
    expand,
    keep_classes,
    keep_images,
    mask_of,
)
from pipelines.data.tables import BoolArray
from pipelines.errors import MismatchError


@dataclass(frozen=True)
class SplitPlan:
    """One split of a dataset.

    Args:
        output: Its index.
        only_images: Keep the images of this list, of their ids or file names.
        exclude_images: Leave out the images of such a list.
        expand: Expand boxes and labels along the hierarchy, as evaluation needs them.
        expected: Counts, by the names of :func:`count_split`, that must come out.
    """

    output: Path
    only_images: Path | None = None
    exclude_images: Path | None = None
    expand: bool = False
    expected: Mapping[str, int] = field(default_factory=dict)

    def apply(
        self, split: Annotations, bare: BoolArray, *, in_place: bool = False
    ) -> tuple[Annotations, dict[str, int]]:
        """Return the part of a dataset that the plan names, and its counts.

        Rows are expanded before those of other classes go: a class outside the vocabulary may
        stand below one in it.

        Args:
            split: The dataset.
            bare: ``[I]``, the images to keep although nothing is known to be in them; others
                without a row go.
            in_place: Take the part in the dataset's own memory, as :meth:`BoxTable.select` does.

        Returns:
            The split, and besides the counts of :func:`count_split` how many entries of each list
            name no image of the dataset: ``unmatched_only_images``, ``unmatched_exclude_images``.

        Raises:
            MismatchError: If a list names none of the images, or the counts are not as expected.
        """
        kept, unmatched = self._listed_images(split)
        split, bare = keep_images(split, kept, in_place=in_place), bare[kept]
        split = expand(split) if self.expand else split
        split = keep_classes(split, split.vocabulary, in_place=in_place)
        split = keep_images(split, annotated_images(split) | bare, in_place=in_place)
        counts = count_split(split)
        refuse_other_counts(counts, self.expected, self.output)
        return split, counts | unmatched

    def _listed_images(self, split: Annotations) -> tuple[BoolArray, dict[str, int]]:
        """Return which images ``[I]`` the lists leave, and their entries that name none."""
        kept = np.ones(len(split.image_ids), np.bool_)
        unmatched = {"unmatched_only_images": 0, "unmatched_exclude_images": 0}
        lists = self.only_images, self.exclude_images
        for name, path, wanted in zip(unmatched, lists, (True, False), strict=True):
            if path is not None:
                listed, unmatched[name] = _listed(split.image_ids, path)
                kept &= listed == wanted
        return kept, unmatched


def refuse_other_counts(found: Mapping[str, int], expected: Mapping[str, int], where: Path) -> None:
    """Raise MismatchError unless every expected count was found."""
    wrong = {name: number for name, number in expected.items() if found[name] != number}
    if wrong:
        told = ", ".join(f"{name} {found[name]} instead of {n}" for name, n in wrong.items())
        raise MismatchError(
            f"not the counts of the official files: {told.replace('_', ' ')}",
            where=where,
            mend="Check that the files are the official ones and complete, or accept what they "
            "hold with --any-counts.",
        )


def count_split(split: Annotations) -> dict[str, int]:
    """Count what is in a split.

    Returns:
        ``images``, and ``images_with_boxes`` among them; ``verified_images``, those with a box or
        an absent class, in which the official release detects; ``boxes`` and ``group_of`` among
        them; ``classes``, ``classes_with_boxes``, ``classes_with_labels``; ``present_labels`` and
        ``absent_labels`` of images.
    """
    boxes, labels = split.boxes, split.labels
    with_boxes = mask_of(len(split.image_ids), boxes.image)
    evaluated, present, label_classes = with_boxes, 0, 0
    if labels is not None:
        evaluated = with_boxes | mask_of(len(with_boxes), labels.image[~labels.positive])
        present = int(labels.positive.sum())
        label_classes = int(mask_of(len(labels.class_ids), labels.label).sum())
    return {
        "images": len(split.image_ids),
        "images_with_boxes": int(with_boxes.sum()),
        "verified_images": int(evaluated.sum()),
        "boxes": len(boxes),
        "group_of": int(boxes.group_of.sum()),
        "classes": len(split.vocabulary),
        "classes_with_boxes": int(mask_of(len(boxes.class_ids), boxes.label).sum()),
        "classes_with_labels": label_classes,
        "present_labels": present,
        "absent_labels": 0 if labels is None else len(labels) - present,
    }


def _listed(image_ids: Sequence[str], path: Path) -> tuple[BoolArray, int]:
    """Return which images ``[I]`` a list names, and how many of its entries name none.

    An entry is an image's id, or else the name of its file.
    """
    entries = read_image_ids(path)
    listed = _are_in(image_ids, entries)
    id_of = {
        entry: _without_suffix(entry) for entry in entries.difference(compress(image_ids, listed))
    }
    by_file = _are_in(image_ids, set(id_of.values()))
    named = set(compress(image_ids, by_file))
    listed |= by_file
    if not listed.any():
        raise MismatchError(
            f"it lists none of the {len(listed)} annotated images",
            where=path,
            mend="Give one image id a line: the name of its file, with or without the suffix.",
        )
    return listed, sum(image_id not in named for image_id in id_of.values())


def _are_in(image_ids: Sequence[str], wanted: Set[str]) -> BoolArray:
    return np.fromiter((image_id in wanted for image_id in image_ids), np.bool_)


def _without_suffix(name: str) -> str:
    path = PurePath(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name
