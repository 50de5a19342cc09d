"""Annotations from boxes in pixels, as COCO, Pascal VOC and Visual Genome give them.

Shapes: n boxes, I images, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import Annotations, BoxTable, Source
from pipelines.data.box_policy import ReadPolicy, check_boxes
from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.vocabulary import Vocabulary

_ROUNDING = 0.02  # pixels; COCO rounds x and width to 0.01 each, so their sum passes the border


@dataclass(frozen=True)
class PixelBoxes:
    """The boxes of one source, in its order.

    Args:
        source: Where they came from.
        rows: ``[n]``, the row of each box in the source.
        image: ``[n]``, positions among the images.
        label: ``[n]``, positions in the vocabulary.
        corners: ``[n, 4]``, xmin, ymin, xmax, ymax; an image spans 0 to its width and height.
        group_of: ``[n]``, whether the box holds a group of objects.
        area: ``[n]``, what the source gives as the object's area in square pixels, or None.
    """

    source: Source
    rows: IntArray
    image: IntArray
    label: IntArray
    corners: FloatArray
    group_of: BoolArray
    area: FloatArray | None = None

    def annotate(
        self,
        image_ids: Sequence[str],
        sizes: NDArray[np.integer[Any]],
        vocabulary: Vocabulary,
        policy: ReadPolicy,
    ) -> Annotations:
        """Return exhaustive annotations, by image.

        A corner that passes the border by no more than the rounding of COCO's files is moved onto
        it; everything else that is bad is left to ``policy``.

        Args:
            image_ids: ``[I]``, distinct, in any order.
            sizes: ``[I, 2]``, height and width in pixels, at least 1.
            vocabulary: ``[K]``; its order is kept.
            policy: What to do with bad boxes, as for ``check_boxes``.

        Raises:
            DatasetError: As ``check_boxes`` does.
        """
        sorted_images, image_rank = _sort(image_ids)
        sorted_classes, class_rank = _sort(vocabulary.ids)
        sorted_sizes = np.empty((len(image_ids), 2), np.int32)
        sorted_sizes[image_rank] = sizes
        table = BoxTable.of(
            self.source,
            self.rows,
            image_ids=sorted_images,
            image=image_rank[self.image],
            class_ids=sorted_classes,
            label=class_rank[self.label],
            boxes=_fractions(self.corners, sizes[self.image]),
            group_of=self.group_of,
            area=self.area,
        )
        by_image = table.select(np.argsort(table.image, kind="stable"))
        return Annotations(
            sorted_images, check_boxes(by_image, policy), None, vocabulary, sorted_sizes
        )


def _sort(ids: Sequence[str]) -> tuple[tuple[str, ...], IntArray]:
    """Return the ids in order, and the place of each of them there."""
    order = sorted(range(len(ids)), key=ids.__getitem__)
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    return tuple(ids[position] for position in order), rank


def _fractions(corners: FloatArray, sizes: NDArray[np.integer[Any]]) -> FloatArray:
    extents = sizes[:, [1, 0, 1, 0]].astype(np.float64)  # [n, 4]
    inside = corners.clip(0.0, extents)
    snapped = np.where(np.abs(corners - inside) <= _ROUNDING, inside, corners)
    return snapped / extents
