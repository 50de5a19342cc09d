"""Refuse inputs of an evaluation that do not belong together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipelines.data.annotations import Annotations
from pipelines.data.images import ImageStore
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

MAX_FRACTION = 2.0  # VG-200 has boxes that reach to 1.752; a pixel count is larger


def other_images(stranger: str, annotated: str, path: Path, origin: str) -> MismatchError:
    """Return the error of a file that is about other images than the boxes."""
    return MismatchError(
        f"none of its images has boxes: {stranger!r} here, {annotated!r} in {origin}",
        where=path,
        mend="An ImageID is the file name without its suffix.",
    )


def refuse_labels_of_other_images(annotations: Annotations, path: Path) -> None:
    """Refuse labels of none of the images with boxes."""
    boxes, labels = annotations.boxes, annotations.labels
    if labels is None or np.isin(np.unique(labels.image), boxes.image).any():
        return
    first = labels.image_ids[labels.image.min()]
    raise other_images(first, boxes.image_ids[boxes.image.min()], path, boxes.origin)


def refuse_pixels(annotations: Annotations) -> None:
    """Refuse boxes in pixels: detections are fractions, so nothing would ever match."""
    boxes = annotations.boxes
    far = (boxes.boxes > MAX_FRACTION).any(axis=1)
    if far.any():
        row = int(far.argmax())
        raise DatasetError(
            f"the box {boxes.boxes[row].tolist()} lies far outside the image "
            f"({int(far.sum())} such boxes)",
            where=boxes.where(row),
            mend="Coordinates are fractions of the image's width and height, not pixels.",
        )


def refuse_disjoint(vocabulary: Vocabulary, annotations: Annotations) -> None:
    """Refuse classes of which none has a box."""
    boxes = annotations.boxes
    if not any(class_id in vocabulary for class_id in boxes.class_ids):
        raise MismatchError(
            f"none of the {len(vocabulary)} classes to evaluate has a box: {vocabulary.ids[0]!r} "
            f"against {boxes.class_ids[0]!r}",
            where=boxes.origin,
            mend="Classes are joined by id; evaluate other classes, or give their boxes.",
        )


def refuse_missing(image_ids: Sequence[str], store: ImageStore) -> None:
    """Refuse images that lack an annotated one; nobody knows what is in the others."""
    missing = np.flatnonzero(store.positions(image_ids) < 0)
    if len(missing):
        raise DatasetError(
            f"{len(missing)} of {len(image_ids)} annotated images are missing, "
            f"first {image_ids[missing[0]]!r}",
            where=store.origin,
            mend="Images are named <ImageID>.jpg (or .jpeg, .png, .webp).",
        )
