"""Which part of a dataset becomes which split, and what must come out.

Shapes: I images.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipelines.data.annotations import Annotations
from pipelines.data.image_ids import read_image_ids
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
        only_images: Keep the images of this list.
        exclude_images: Leave out the images of this list.
        expand: Expand boxes and labels along the hierarchy, as evaluation needs them.
        expected: Counts, by the names of :func:`count_split`, that must come out.
    """

    output: Path
    only_images: Path | None = None
    exclude_images: Path | None = None
    expand: bool = False
    expected: Mapping[str, int] = field(default_factory=dict)

    def apply(self, split: Annotations, bare: BoolArray, *, in_place: bool = False) -> Annotations:
        """Return the part of a dataset that the plan names.

        Rows are expanded before those of other classes go: a class outside the vocabulary may
        stand below one in it.

        Args:
            split: The dataset.
            bare: ``[I]``, the images to keep although nothing is known to be in them; others
                without a row go.
            in_place: Take the part in the dataset's own memory, as :meth:`BoxTable.select` does.

        Raises:
            MismatchError: If a list names none of the images, or the counts are not as expected.
        """
        for path, wanted in ((self.only_images, True), (self.exclude_images, False)):
            if path is not None:
                listed = _listed(split, path)
                keep = listed == wanted
                split, bare = keep_images(split, keep, in_place=in_place), bare[keep]
        split = expand(split) if self.expand else split
        split = keep_classes(split, split.vocabulary, in_place=in_place)
        split = keep_images(split, annotated_images(split) | bare, in_place=in_place)
        refuse_other_counts(count_split(split), self.expected, self.output)
        return split


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


def _listed(split: Annotations, path: Path) -> BoolArray:
    wanted = read_image_ids(path)
    listed = np.fromiter((image_id in wanted for image_id in split.image_ids), np.bool_)
    if not listed.any():
        raise MismatchError(
            f"it lists none of the {len(listed)} annotated images",
            where=path,
            mend="Image ids are file names without their suffix.",
        )
    return listed
