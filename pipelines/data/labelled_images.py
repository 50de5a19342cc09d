"""Which images show each class, by verified image-level labels.

Shapes: n labels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data.annotations import ImageLabelTable
from pipelines.data.images import ImageStore
from pipelines.data.open_images import read_image_labels
from pipelines.data.tables import IntArray
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class ClassImages:
    """Images and the classes in them.

    Args:
        image_ids: Distinct, sorted.
        image: ``[n]``, positions in ``image_ids``, ascending.
        rows: The rows of the classes in their vocabulary, ascending.
        label: ``[n]``, positions in ``rows``.
        missing: How many images with a label were not at hand.
    """

    image_ids: tuple[str, ...]
    image: IntArray
    rows: tuple[int, ...]
    label: IntArray
    missing: int


def read_class_images(
    path: Path, classes: Vocabulary, store: ImageStore, limit: int | None = None
) -> ClassImages:
    """Find the images that are verified to show each class.

    Args:
        path: Open Images image-level labels CSV.
        classes: Labels of other classes are left out.
        store: The images at hand.
        limit: At most so many images of a class, the first in the order of their ids.

    Raises:
        DatasetError: If the file is bad, or none of its images is at hand.
        MismatchError: If no image shows one of the classes.
    """
    table = read_image_labels(path)
    row_of = np.array([classes.positions.get(class_id, -1) for class_id in table.class_ids])
    shown = table.select(table.positive & (row_of[table.label] >= 0))
    if len(shown) == 0:
        raise MismatchError(
            f"no image is verified to show one of the {len(classes)} classes",
            where=path,
            mend="Classes are matched by id; labels with Confidence 1 count.",
        )
    at_hand = store.positions(table.image_ids) >= 0
    labelled = np.unique(shown.image)
    found = shown.select(at_hand[shown.image])
    if len(found) == 0:
        raise DatasetError(
            f"none of the {len(labelled)} images that show a class is here",
            where=store.origin,
            mend="Images are named <ImageID>.jpg (or .jpeg, .png, .webp).",
        )
    missing = int((~at_hand[labelled]).sum())
    return _first_images(found, row_of[found.label], limit, missing)


def _first_images(
    shown: ImageLabelTable, rows: IntArray, limit: int | None, missing: int
) -> ClassImages:
    """Keep the first images of each class, each once."""
    pairs = np.unique(np.stack([rows, shown.image], axis=1), axis=0)  # [n, 2] by class, then image
    _, starts, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    rank = np.arange(len(pairs)) - np.repeat(starts, counts)
    kept = pairs if limit is None else pairs[rank < limit]
    kept = kept[kept[:, 1].argsort(kind="stable")]
    images, image = np.unique(kept[:, 1], return_inverse=True)
    chosen_rows, label = np.unique(kept[:, 0], return_inverse=True)
    image_ids = tuple(shown.image_ids[position] for position in images.tolist())
    return ClassImages(image_ids, image, tuple(chosen_rows.tolist()), label, missing)
