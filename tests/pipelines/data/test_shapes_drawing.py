"""Tests for pipelines.data.shapes_outlines and shapes_drawing: what an object looks like."""

import numpy as np
import pytest

from pipelines.data.shapes import ACCENTS, COLOURS, PATTERNS, SHAPES
from pipelines.data.shapes_drawing import DrawnObject, draw_background, draw_object, to_uint8
from pipelines.data.shapes_outlines import OUTLINES, PATTERN_FIELDS

SIZE = 64


def _draw(
    attributes: tuple[int, int, int], seed: int = 0, accent: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    canvas = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    item = DrawnObject(attributes, (SIZE / 2, SIZE / 2), 24, accent)
    coverage = draw_object(canvas, item, np.random.default_rng(seed))
    return canvas, coverage


def test_every_shape_and_pattern_can_be_drawn() -> None:
    """The drawing knows exactly the words of the vocabulary."""
    assert OUTLINES.keys() == set(SHAPES)
    assert PATTERN_FIELDS.keys() == set(PATTERNS)


@pytest.mark.parametrize("shape", range(len(SHAPES)), ids=SHAPES)
def test_a_shape_fits_its_circle_and_fills_a_part_of_it(shape: int) -> None:
    """However it is turned, a shape stays in its circle, reaches near it, and is not a speck."""
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5 - SIZE / 2
    radius = np.hypot(rows, columns)
    for seed in range(5):
        _, coverage = _draw((shape, 0, 0), seed)
        inside = coverage > 0.5
        assert radius[inside].max() <= 24 + 1.5
        assert radius[inside].max() >= 0.85 * 24
        assert 0.2 < inside.sum() / (np.pi * 24**2) < 0.9


@pytest.mark.parametrize("colour", range(len(COLOURS)), ids=COLOURS)
def test_a_solid_object_has_its_colour(colour: int) -> None:
    """The middle of a solid square is nearer to its own colour than to any other."""
    canvas, _ = _draw((SHAPES.index("square"), colour, PATTERNS.index("solid")))

    distances = np.abs(np.array(list(COLOURS.values())) - canvas[SIZE // 2, SIZE // 2]).sum(axis=1)

    assert distances.argmin() == colour


@pytest.mark.parametrize("pattern", range(1, len(PATTERNS)), ids=PATTERNS[1:])
def test_a_pattern_has_both_colours(pattern: int) -> None:
    """Every pattern but solid shows its colour and the accent, a fifth or more of each."""
    canvas, coverage = _draw((SHAPES.index("circle"), list(COLOURS).index("black"), pattern))

    light = canvas[coverage == 1].mean(axis=1) > 0.55

    assert 0.15 < light.mean() < 0.8


@pytest.mark.parametrize("accent", range(1, len(ACCENTS) + 1), ids=ACCENTS)
@pytest.mark.parametrize("pattern", range(1, len(PATTERNS)), ids=PATTERNS[1:])
def test_every_accent_shows_on_every_colour(pattern: int, accent: int) -> None:
    """A tenth of the object or more is far from what it would be in solid colour."""
    circle, solid = SHAPES.index("circle"), PATTERNS.index("solid")
    for colour in range(len(COLOURS)):
        (plain, coverage), (drawn, _) = (
            _draw((circle, colour, of), accent=accent) for of in (solid, pattern)
        )

        changed = np.linalg.norm(drawn - plain, axis=2)[coverage == 1] > 0.3

        assert changed.mean() > 0.1


def test_the_usual_accent_is_the_first() -> None:
    """A class that names no accent looks as the same class in cream does."""
    (usual, _), (cream, _), (lime, _) = (_draw((0, 0, 1), accent=accent) for accent in range(3))

    np.testing.assert_array_equal(usual, cream)
    assert np.abs(usual - lime).max() > 0.3


def test_what_lies_beyond_the_canvas_is_cut_off() -> None:
    """An object across the corner covers only what is there; one outside covers nothing."""
    canvas = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    corner = draw_object(canvas, DrawnObject((0, 0, 0), (0, 0), 20), np.random.default_rng(0))
    before = canvas.copy()
    outside = draw_object(canvas, DrawnObject((0, 0, 0), (-99, 9), 20), np.random.default_rng(0))

    assert corner[0, 0] == 1
    assert corner[SIZE // 2 :].max() == 0
    assert outside.max() == 0
    np.testing.assert_array_equal(canvas, before)


def test_only_the_object_and_its_shadow_change_the_canvas() -> None:
    """Pixels far from an object stay exactly as they were."""
    canvas = draw_background(SIZE, np.random.default_rng(0))
    before = canvas.copy()

    draw_object(canvas, DrawnObject((0, 0, 0), (20, 20), 12), np.random.default_rng(1))

    np.testing.assert_array_equal(canvas[40:, 40:], before[40:, 40:])
    assert np.abs(canvas[20, 20] - before[20, 20]).max() > 0.1


def test_backgrounds_vary_and_stay_in_range() -> None:
    """Two backgrounds differ, none is flat, and none leaves [0, 1]."""
    first, second = (draw_background(SIZE, np.random.default_rng(seed)) for seed in (0, 1))

    assert np.abs(first - second).mean() > 0.01
    assert first.std() > 0.01
    assert 0 <= first.min() <= first.max() <= 1
    assert to_uint8(first).dtype == np.uint8
