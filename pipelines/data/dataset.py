"""All that the files of a dataset hold, read once; the splits are taken from it.

Shapes: n boxes, I images.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotation_files import refuse_unknown_classes
from pipelines.data.annotation_sources import AnnotationSource, Notes
from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.box_policy import check_boxes, refuse_pixels
from pipelines.data.image_sizes import ImageSizes, read_image_sizes
from pipelines.data.images import ImageStore, open_images
from pipelines.data.index import IndexPolicy
from pipelines.data.splits import annotated_images
from pipelines.data.tables import BoolArray
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PrepareOptions:
    """What all splits of a dataset share.

    Args:
        policy: What to do with bad boxes, as for ``check_boxes``.
        drop_unknown_classes: Leave out boxes of classes outside the class list, instead of
            refusing them.
        images: Folders, zip and tar files of the images; their sizes are read from their headers
            where no file tells them.
        image_sizes: Lines of ``ImageID,height,width``.
    """

    policy: IndexPolicy = "error"
    drop_unknown_classes: bool = False
    images: tuple[Path, ...] = ()
    image_sizes: Path | None = None


@dataclass(frozen=True)
class Dataset:
    """What was read, and what completes it.

    Args:
        annotations: All rows that the policy left.
        bare: ``[I]``, the images that never had a row.
        counts: What was read and what was done to it.
        notes: What else the reader has to tell.
        sizes: Of images, from a file.
        images: Where the images are.
    """

    annotations: Annotations
    bare: BoolArray
    counts: Mapping[str, int]
    notes: Notes
    sizes: ImageSizes | None
    images: ImageStore | None

    @classmethod
    def read(cls, source: AnnotationSource, options: PrepareOptions) -> "Dataset":
        """Read all files.

        Raises:
            WTNError: If they are bad, or do not belong together.
        """
        read, notes = source.read("unchecked")
        if not options.drop_unknown_classes:
            refuse_unknown_classes(read.boxes, read.vocabulary)
        bare = ~annotated_images(read)
        unknown = {
            "boxes_of_other_classes": _count_unknown(read.boxes, read.vocabulary),
            "labels_of_other_classes": _count_unknown(read.labels, read.vocabulary),
        }
        boxes, clipped = _treat(read.boxes, options.policy)
        counts = {
            "boxes_read": len(read.boxes),
            "boxes_dropped": len(read.boxes) - len(boxes),
            "boxes_clipped": clipped,
        }
        return cls(
            replace(read, boxes=boxes),
            bare=bare,
            counts=counts | unknown,
            notes=notes,
            sizes=read_image_sizes(options.image_sizes) if options.image_sizes else None,
            images=open_images(*options.images) if options.images else None,
        )

    def sizes_of(self, split: Annotations, on_progress: Progress) -> NDArray[np.int32]:
        """Return height and width of a split's images ``[I, 2]``, 0 where nothing tells them.

        Raises:
            DatasetError: If an image is missing, or its header cannot be read.
            MismatchError: If there is a file of sizes, it lacks one, and there are no images.
        """
        if self.images is not None:
            _refuse_missing(split, self.images)
        sizes = split.sizes.copy()
        if self.sizes is not None:
            sizes = self.sizes.known(split.image_ids).astype(np.int32)
        unknown = np.flatnonzero(sizes[:, 0] == 0)
        missing = [split.image_ids[row] for row in unknown.tolist()]
        if missing and self.images is not None:
            sizes[unknown] = self.images.sizes(missing, partial(on_progress, "image sizes"))
        elif missing and self.sizes is not None:
            raise MismatchError(
                f"the size of image {missing[0]!r} is not known ({len(missing)} of {len(sizes)} "
                "images)",
                where=self.sizes.source,
                mend="Add a line ImageID,height,width for each, or pass --images.",
            )
        return sizes


def _treat(boxes: BoxTable, policy: IndexPolicy) -> tuple[BoxTable, int]:
    """Return the boxes that a policy leaves, in place, and how many of them it cut to the image."""
    if policy != "keep":
        refuse_pixels(boxes)
    if policy != "clip":
        return check_boxes(boxes, policy, in_place=True), 0
    outside = np.asarray(((boxes.boxes < 0) | (boxes.boxes > 1)).any(axis=1))
    numbered = replace(boxes, rows=np.arange(len(boxes)))
    numbered = check_boxes(numbered, policy, in_place=True)
    kept = numbered.rows
    return replace(numbered, rows=boxes.rows[kept]), int(np.count_nonzero(outside[kept]))


def _count_unknown(table: BoxTable | ImageLabelTable | None, vocabulary: Vocabulary) -> int:
    if table is None:
        return 0
    unknown = np.array([name not in vocabulary for name in table.class_ids], np.bool_)
    return int(np.count_nonzero(unknown[table.label]))


def _refuse_missing(split: Annotations, images: ImageStore) -> None:
    missing = np.flatnonzero(images.positions(split.image_ids) < 0)
    if len(missing):
        raise DatasetError(
            f"{len(missing)} of {len(split.image_ids)} annotated images are missing, first "
            f"{split.image_ids[int(missing[0])]!r}",
            where=images.origin,
            mend="Images are named <ImageID>.jpg; leave some out with --exclude-images.",
        )
