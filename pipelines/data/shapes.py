"""The classes of the procedural world: every shape in every colour and pattern.

The world stands in for Open Images where nothing may be downloaded: 960 classes that a classifier
knows, of which only some have boxes. As in a real vocabulary, what tells classes apart recurs
elsewhere: a novel "red striped star" shares its shape with one seen class, its colour with another.
Where the second colour of a pattern, its accent, tells classes apart too, there are up to 5160.

Shapes: C classes, G attributes.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ConfigError
from pipelines.vocabulary import Vocabulary

SHAPES = (
    "circle", "square", "triangle", "star", "cross", "heart",
    "crescent", "ring", "arrow", "drop", "flower", "pill",
)  # fmt: skip
COLOURS = {
    "red": (0.90, 0.22, 0.24),
    "orange": (0.97, 0.51, 0.13),
    "yellow": (0.96, 0.78, 0.10),
    "green": (0.22, 0.63, 0.29),
    "teal": (0.06, 0.69, 0.69),
    "blue": (0.16, 0.40, 0.88),
    "purple": (0.49, 0.26, 0.76),
    "pink": (0.95, 0.42, 0.70),
    "brown": (0.49, 0.29, 0.16),
    "black": (0.15, 0.16, 0.20),
}  # RGB in [0, 1]
PATTERNS = ("solid", "striped", "dotted", "checked", "ringed", "rayed", "split", "faded")
SOLID = PATTERNS.index("solid")
ACCENTS = {
    "cream": (0.99, 0.96, 0.90),
    "lime": (0.35, 1.00, 0.20),
    "aqua": (0.45, 0.98, 0.98),
    "magenta": (1.00, 0.05, 0.95),
    "lilac": (0.68, 0.62, 0.95),
    "navy": (0.05, 0.02, 0.66),
}  # RGB in [0, 1]; each can be told from the others, and from every colour it may lie on
PLAIN = "plain"  # the accent of what is solid
ROOT_ID = "shape"
_LEAST = {
    "seed": 0,
    "accents": 1,
    "num_train": 1,
    "num_val_seen": 1,
    "num_val_novel": 1,
    "num_negatives": 0,
    "min_crops": 1,
    "scene_size": 64,
    "crop_size": 16,
}


@dataclass(frozen=True)
class ShapesSettings:
    """How large a world to draw.

    Args:
        seed: Decides every pixel and every choice of classes.
        accents: Second colours of patterns; classes name theirs if there are several.
        num_seen: Classes with boxes; at least one for each value of every attribute.
        num_train: Scenes with boxes of seen classes, for the detector.
        num_val_seen: Held-out scenes of seen classes.
        num_val_novel: Scenes of all other classes, for evaluation only.
        num_negatives: Classes verified as absent from a validation scene.
        num_crops: Image-level crops of all classes for the classifier, about; long-tailed.
        min_crops: Crops of the rarest class.
        scene_size: Height and width of a scene in pixels.
        crop_size: Height and width of a crop in pixels.

    Raises:
        ConfigError: If a number is too small, or the classes cannot be split or covered as asked.
    """

    seed: int = 0
    accents: int = 1
    num_seen: int = 100
    num_train: int = 1500
    num_val_seen: int = 200
    num_val_novel: int = 600
    num_negatives: int = 60
    num_crops: int = 24_000
    min_crops: int = 6
    scene_size: int = 128
    crop_size: int = 48

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}, where {least} is the least")
        if self.accents > len(ACCENTS):
            raise ConfigError(f"accents is {self.accents}, where {len(ACCENTS)} is the most")
        classes = self.num_classes
        most_values = max(len(values) for values in attribute_values(self.accents))
        if not most_values <= self.num_seen < classes:
            raise ConfigError(
                f"num_seen is {self.num_seen}, where {most_values} to {classes - 1} fit",
                mend="Every shape must be seen once, and one class must stay novel.",
            )
        if self.num_crops < self.min_crops * classes:
            raise ConfigError(
                f"{self.num_crops} crops do not give each of the {classes} classes "
                f"{self.min_crops}",
                mend=f"Ask for at least {self.min_crops * classes} crops.",
            )

    @property
    def num_classes(self) -> int:
        """C: 960 with one accent, 5160 with all six."""
        return len(class_attributes(self.accents))


def attribute_values(accents: int = 1) -> tuple[tuple[str, ...], ...]:
    """Return the words for each of the G attributes: shape, colour, pattern.

    Where there are several accents they are a fourth, of which the first value is ``PLAIN``.
    """
    usual = (SHAPES, tuple(COLOURS), PATTERNS)
    return usual if accents == 1 else (*usual, (PLAIN, *tuple(ACCENTS)[:accents]))


@cache
def class_attributes(accents: int = 1) -> NDArray[np.int64]:
    """Return ``[C, G]``: the position of each class's value in every attribute."""
    values = attribute_values(accents)
    attributes: NDArray[np.int64] = np.indices([len(v) for v in values]).reshape(len(values), -1).T
    if accents > 1:
        attributes = attributes[(attributes[:, 2] == SOLID) == (attributes[:, 3] == 0)]
    attributes.setflags(write=False)
    return attributes


def shapes_vocabulary(accents: int = 1) -> Vocabulary:
    """Return the C classes.

    One is ``shape/red-striped-star``, named "red striped star"; with several accents
    ``shape/red-lime-striped-star``, named "red lime striped star".
    """
    values = attribute_values(accents)
    words = []
    for row in class_attributes(accents).tolist():
        shape, colour, pattern, *accent = (v[i] for v, i in zip(values, row, strict=True))
        words.append((colour, *(word for word in accent if word != PLAIN), pattern, shape))
    ids = tuple(f"{ROOT_ID}/{'-'.join(parts)}" for parts in words)
    return Vocabulary(ids, tuple(" ".join(parts) for parts in words))


def shapes_hierarchy(accents: int = 1) -> dict[str, Any]:
    """Return the tree above the classes, as Open Images nests it: root, shape, class.

    The shapes are parents only. They are no class of the vocabulary, so a reader that keeps the
    relations between its own classes finds none, unless a shape is added to them.
    """
    ids = np.array(shapes_vocabulary(accents).ids).reshape(len(SHAPES), -1)
    shapes = [
        {"LabelName": f"{ROOT_ID}/{shape}", "Subcategory": [{"LabelName": i} for i in row.tolist()]}
        for shape, row in zip(SHAPES, ids, strict=True)
    ]
    return {"LabelName": ROOT_ID, "Subcategory": shapes}


def choose_seen(count: int, rng: np.random.Generator, accents: int = 1) -> NDArray[np.int64]:
    """Choose ``count`` classes that use the values of every attribute about equally often.

    Returns:
        Rows of the vocabulary, ascending.
    """
    attributes = class_attributes(accents)
    tie_breaks = rng.random(len(attributes))
    uses = [np.zeros(len(values)) for values in attribute_values(accents)]
    chosen: list[int] = []
    for _ in range(count):
        cost = sum(used[column] for used, column in zip(uses, attributes.T, strict=True))
        cost = cost + tie_breaks
        cost[chosen] = np.inf
        chosen.append(int(cost.argmin()))
        for used, value in zip(uses, attributes[chosen[-1]], strict=True):
            used[value] += 1
    return np.sort(np.array(chosen))


def long_tailed_counts(
    num_classes: int, total: int, minimum: int, rng: np.random.Generator, exponent: float = 0.8
) -> NDArray[np.int64]:
    """Return ``[C]`` crops per class: Zipf-like over a random order, ``minimum`` or more each."""
    share = np.arange(1, num_classes + 1) ** -exponent
    share /= share.sum()
    extra = np.floor(share * (total - minimum * num_classes)).astype(np.int64)
    return minimum + rng.permutation(extra)
