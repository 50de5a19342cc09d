"""Compose scenes with boxes, and crops of one object, from the procedural world's drawings.

Shapes: H, W pixels of a scene; n objects in it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.data.shapes import attribute_values, class_attributes
from pipelines.data.shapes_drawing import DrawnObject, draw_background, draw_object, to_uint8

MAX_OBJECTS = 5
RADII = (0.10, 0.25)  # of a scene's side: objects of 26 to 64 pixels in 128
CONTACT = 0.85  # share of two radii that centres keep apart: boxes overlap with an IoU below 0.1
VISIBLE = 0.5  # coverage from which a pixel counts as the object's


@dataclass(frozen=True)
class SceneBox:
    """The visible part of one object.

    Args:
        row: Its class, as a row of the vocabulary.
        extent: xmin, xmax, ymin, ymax as fractions of the scene.
        occluded: Another object hides a part of it.
        truncated: The scene's border cuts it.
    """

    row: int
    extent: tuple[float, float, float, float]
    occluded: bool
    truncated: bool


def deal_scenes(
    rows: NDArray[np.int64], num_scenes: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Yield the classes of each scene: one to five, equally often, and every class in turn."""
    counts = rng.permutation(np.resize(np.arange(1, MAX_OBJECTS + 1), num_scenes))
    rounds = -(-int(counts.sum()) // len(rows))
    deck = np.concatenate([rng.permutation(rows) for _ in range(max(rounds, 1))])
    ends = counts.cumsum()
    for start, end in zip(ends - counts, ends, strict=True):
        yield deck[start:end]


def draw_scene(
    rows: NDArray[np.int64], size: int, rng: np.random.Generator, accents: int = 1
) -> tuple[NDArray[np.uint8], list[SceneBox]]:
    """Draw one scene with an object of each class of ``rows``.

    Returns:
        The image ``[size, size, 3]`` and the boxes, in the order of ``rows``.
    """
    canvas = draw_background(size, rng)
    items = [
        _drawn_object(attributes, (x, y), radius)
        for attributes, (x, y, radius) in zip(
            class_attributes(accents)[rows].tolist(),
            _layout(len(rows), size, rng).tolist(),
            strict=True,
        )
    ]
    drawn = [draw_object(canvas, item, rng) >= VISIBLE for item in items]
    hidden = np.zeros((size, size), bool)
    boxes = []
    for row, mask in zip(reversed(rows.tolist()), reversed(drawn), strict=True):
        boxes.append(_scene_box(row, mask, mask & ~hidden))
        hidden |= mask
    return to_uint8(canvas), boxes[::-1]


def draw_crop(row: int, size: int, rng: np.random.Generator, accents: int = 1) -> NDArray[np.uint8]:
    """Draw one object that fills a crop ``[size, size, 3]``; every third has a neighbour."""
    canvas = draw_background(size, rng)
    radius = size * rng.uniform(0.34, 0.50)
    x, y = size / 2 + size * rng.uniform(-0.07, 0.07, 2)
    items = [_drawn_object(class_attributes(accents)[row].tolist(), (x, y), radius)]
    if rng.random() < 1 / 3:
        items.insert(int(rng.integers(2)), _neighbour(items[0], rng, accents))
    for item in items:
        draw_object(canvas, item, rng)
    return to_uint8(canvas)


def _drawn_object(
    attributes: Sequence[int], centre: tuple[float, float], radius: float
) -> DrawnObject:
    shape, colour, pattern, *accent = attributes
    return DrawnObject((shape, colour, pattern), centre, radius, *accent)


def _neighbour(item: DrawnObject, rng: np.random.Generator, accents: int) -> DrawnObject:
    """Return an object of any class that touches ``item``, on any side."""
    angle, radius = rng.uniform(0, 2 * np.pi), item.radius * rng.uniform(0.6, 1.2)
    reach = rng.uniform(CONTACT, 1) * (item.radius + radius)
    x, y = item.centre
    centre = (x + reach * np.cos(angle), y + reach * np.sin(angle))
    attributes = [int(rng.integers(len(values))) for values in attribute_values(accents)]
    return _drawn_object(attributes, centre, radius)


def _layout(count: int, size: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return x, y and radius of circles that barely overlap: ``[count, 3]``, in pixels."""
    while True:
        tries = np.empty((64, count, 3))
        tries[..., 2] = rng.uniform(*RADII, (64, count))
        margin = 0.75 * tries[..., 2:]
        tries[..., :2] = margin + rng.random((64, count, 2)) * (1 - 2 * margin)
        gaps = tries[:, :, None, :2] - tries[:, None, :, :2]
        reach = CONTACT * (tries[:, :, None, 2] + tries[:, None, :, 2])
        apart = (np.hypot(gaps[..., 0], gaps[..., 1]) >= reach) | np.eye(count, dtype=bool)
        fits = np.flatnonzero(apart.all(axis=(1, 2)))
        if len(fits):
            layout: NDArray[np.float64] = tries[fits[0]] * size
            return layout


def _scene_box(row: int, mask: NDArray[np.bool_], visible: NDArray[np.bool_]) -> SceneBox:
    height, width = mask.shape
    ys, xs = (np.flatnonzero(visible.any(axis=axis)) for axis in (1, 0))
    xmin, xmax = int(xs[0]) / width, (int(xs[-1]) + 1) / width
    ymin, ymax = int(ys[0]) / height, (int(ys[-1]) + 1) / height
    border = np.concatenate([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    occluded = int(visible.sum()) < int(mask.sum())
    return SceneBox(row, (xmin, xmax, ymin, ymax), occluded, truncated=bool(border.any()))
