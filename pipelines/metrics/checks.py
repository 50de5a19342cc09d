"""Refuse inputs of an evaluation that do not belong together."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from pipelines.data.annotations import Annotations
from pipelines.data.box_policy import lies_far_outside, pixels_error
from pipelines.data.images import ImageStore
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import FloatArray
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary


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
    far = lies_far_outside(boxes.boxes)
    if far.any():
        row = int(far.argmax())
        raise pixels_error(boxes.boxes[row], int(far.sum()), boxes.where(row))


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


class PredictionChecks:
    """What would make a file of predictions score nothing, gathered block by block.

    Args:
        path: The file.
        annotations: The ground truth.
        vocabulary: The classes to evaluate.
    """

    def __init__(self, path: Path, annotations: Annotations, vocabulary: Vocabulary) -> None:
        self._path, self._vocabulary = path, vocabulary
        self._image_id, self._origin = annotations.image_ids[0], annotations.boxes.origin
        self._images = _Acquaintance(annotations.image_ids)
        self._classes = _Acquaintance(vocabulary.ids)
        self._far_box: FloatArray | None = None  # the first
        self._num_far = self._num_boxes = 0

    def look_at(self, block: PredictionTable) -> None:
        """Take note of some detections."""
        if not len(block):
            return
        self._images.meet(block.image_ids)
        self._classes.meet(block.class_ids)
        far = lies_far_outside(block.boxes)
        if self._far_box is None and far.any():
            self._far_box = block.boxes[far.argmax()]
        self._num_far += int(far.sum())
        self._num_boxes += len(block)

    def finish(self) -> None:
        """Refuse detections that are all of other images or classes, or mostly in pixels.

        Raises:
            MismatchError: If there are detections, but in no known image, or of no known class.
            DatasetError: If most boxes lie far outside of the image; a few may be a detector's.
        """
        if stranger := self._images.only_stranger:
            raise other_images(stranger, self._image_id, self._path, self._origin)
        if stranger := self._classes.only_stranger:
            raise _other_classes(stranger, self._vocabulary, self._path)
        if self._far_box is not None and 2 * self._num_far > self._num_boxes:
            raise pixels_error(self._far_box, self._num_far, self._path)


class _Acquaintance:
    """Whether any of some ids is known, and the first that is not."""

    def __init__(self, known: Collection[str]) -> None:
        self._known, self._met = known, False
        self._stranger: str | None = None

    def meet(self, ids: Sequence[str]) -> None:
        if not self._met:
            self._stranger = self._stranger or ids[0]
            self._met = not set(self._known).isdisjoint(ids)

    @property
    def only_stranger(self) -> str | None:
        """An id, if there were some and none is known."""
        return None if self._met else self._stranger


def _other_classes(stranger: str, vocabulary: Vocabulary, path: Path) -> MismatchError:
    id_of = {name: class_id for class_id, name in vocabulary.name_of.items()}
    mend = "LabelName holds the class's id; classes are joined by it."
    if stranger in id_of:
        mend = f"{stranger!r} is a name: write the class's id, {id_of[stranger]!r}, as LabelName."
    return MismatchError(
        f"none of its detections is of an evaluated class: {stranger!r} here, "
        f"{vocabulary.ids[0]!r} is evaluated",
        where=path,
        mend=mend,
    )
