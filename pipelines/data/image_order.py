"""Which images a pass over a dataset shows, and how often: uniform, class-balanced, repeat-factor.

Shapes: n boxes, I images, K classes that have an image of their own, L entries of a pass.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import FloatArray, IntArray

Groups = NDArray[np.uint8]
BALANCED_LENGTH = 1_440_000
"""Entries of the official release's class-balanced list (xternalz/AE-WTN, openimages.py): one pass
is its whole training, 180,000 iterations of 8 images."""


@dataclass(frozen=True)
class ImageOrder:
    """The images of a pass, before they are shuffled.

    Args:
        images: ``[L]``, places in the dataset; an image may come more than once.
        repeats: ``[L]``, how often each comes on average, or None for once. What is left of a
            whole number is drawn anew for each pass.
    """

    images: IntArray
    repeats: FloatArray | None = None

    def draw(self, random: np.random.Generator) -> IntArray:
        """Return the images of one pass."""
        if self.repeats is None:
            return self.images
        whole = np.floor(self.repeats)
        extra = random.random(len(self.repeats)) < self.repeats - whole
        return np.repeat(self.images, whole.astype(np.int64) + extra)


def uniform_order(num_images: int) -> ImageOrder:
    """Show each image once a pass."""
    return ImageOrder(np.arange(num_images))


def class_balanced_order(
    image: IntArray, label: IntArray, length: int = BALANCED_LENGTH
) -> ImageOrder:
    """Show each class equally often, as the official release does (datasets/openimages.py).

    An image belongs to its rarest class, counted in images. The classes take turns, rarest first;
    a class shows its images with the most distinct labels first, and starts again when it has shown
    them all. A class all of whose images belong to rarer ones has no turn.

    The release sorts with an unstable ``argsort``, so that ties fall as they may. Here the sorts
    are stable: of classes with equally many images the lower label comes first, and of images with
    equally many labels the later one, because the release reverses an ascending order.

    Args:
        image: ``[n]``, places in the dataset, in the order of the image ids.
        label: ``[n]``, classes, in the order of the class ids.
        length: L, the entries of a pass.
    """
    image, label = _distinct(image, label)
    starts = run_starts(image)
    rarity = _rarity(label)
    owner = np.minimum.reduceat(rarity[label], starts)  # [I]
    labels_per_image = np.diff(starts, append=len(image))
    by_class = np.lexsort((labels_per_image, owner))
    first = run_starts(owner[by_class])  # [K]
    count = np.diff(first, append=len(by_class))
    turn, group = np.divmod(np.arange(length), len(first))
    from_the_end = turn % count[group] + 1
    return ImageOrder(image[starts][by_class][(first + count)[group] - from_the_end])


def repeat_factor_order(image: IntArray, label: IntArray, threshold: float = 1e-3) -> ImageOrder:
    """Show images of rare classes more often (Gupta et al., LVIS, CVPR 2019).

    A class in a fraction f of the images has the factor max(1, sqrt(threshold / f)); an image comes
    as often as the largest factor among its classes says.

    Args:
        image: ``[n]``, places in the dataset.
        label: ``[n]``, classes.
        threshold: The fraction below which a class counts as rare.
    """
    image, label = _distinct(image, label)
    starts = run_starts(image)
    fraction = np.bincount(label) / len(starts)
    factor = np.sqrt(threshold / fraction.clip(min=1 / len(starts))).clip(min=1)
    return ImageOrder(image[starts], np.maximum.reduceat(factor[label], starts))


def _distinct(image: IntArray, label: IntArray) -> tuple[IntArray, IntArray]:
    """Return each pair of an image and a class in it once, by image."""
    num_labels = int(label.max()) + 1
    pairs = np.sort(image.astype(np.int64) * num_labels + label)
    distinct = pairs[run_starts(pairs)]  # many times faster than np.unique
    return distinct // num_labels, distinct % num_labels


def run_starts(values: IntArray) -> IntArray:
    """Return where each run of equal values begins."""
    return np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))


def positions_in_runs(*keys: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Return for every element its position in its run, and how long that run is.

    Args:
        keys: Columns of one length; a run goes on while none of them changes.
    """
    changes = np.zeros(len(keys[0]), np.bool_)
    for key in keys:
        changes[1:] |= key[1:] != key[:-1]
    starts = np.flatnonzero(np.concatenate([[True], changes[1:]]))
    sizes = np.diff(starts, append=len(changes))
    return np.arange(len(changes)) - np.repeat(starts, sizes), np.repeat(sizes, sizes)


def _rarity(label: IntArray) -> IntArray:
    """Return the rank of every class, 0 for the one with the fewest images."""
    by_images = np.argsort(np.bincount(label), kind="stable")
    rank = np.empty_like(by_images)
    rank[by_images] = np.arange(len(by_images))
    return rank
