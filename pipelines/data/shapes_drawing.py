"""Draw the objects and backgrounds of the procedural world with antialiased numpy masks.

Shapes: H, W pixels of a canvas. Canvases are float32 ``[H, W, 3]``, RGB in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.data.shapes import ACCENTS, COLOURS, PATTERNS, SHAPES
from pipelines.data.shapes_outlines import OUTLINES, PATTERN_FIELDS, FloatArray, soft_step

COLOUR_VALUES = np.array(list(COLOURS.values()), np.float32)
_USUAL, *_ = ACCENTS.values()
ACCENT_VALUES = np.array([_USUAL, *ACCENTS.values()], np.float32)  # 0: the class names none
BACKGROUNDS = np.array(
    [
        (0.73, 0.79, 0.85),
        (0.80, 0.77, 0.71),
        (0.72, 0.79, 0.72),
        (0.80, 0.74, 0.79),
        (0.66, 0.70, 0.77),
        (0.83, 0.81, 0.78),
        (0.62, 0.67, 0.66),
    ],
    np.float32,
)


@dataclass(frozen=True)
class DrawnObject:
    """One object on a canvas.

    Args:
        attributes: Positions of its shape, colour and pattern.
        centre: x and y of its circumscribed circle, in pixels.
        radius: Of that circle, in pixels.
        accent: Position of its accent, the second colour of its pattern, counted from 1; 0 if its
            class names none.
    """

    attributes: tuple[int, int, int]
    centre: tuple[float, float]
    radius: float
    accent: int = 0


def draw_background(size: int, rng: np.random.Generator) -> FloatArray:
    """Return a muted, uneven, faintly woven and noisy canvas ``[size, size, 3]``."""
    tint = BACKGROUNDS[rng.integers(len(BACKGROUNDS))] + rng.normal(0, 0.03, 3)
    clouds = rng.normal(0, 5, (4, 4, 3)) + rng.normal(0, 16, (4, 4, 1)) + 128
    smooth = Image.fromarray(clouds.clip(0, 255).astype(np.uint8)).resize(
        (size, size), Image.Resampling.BICUBIC
    )
    y, x = np.mgrid[:size, :size]
    angle, period = rng.uniform(0, np.pi), rng.uniform(3, 16)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    grain = rng.standard_normal((size, size), np.float32) * rng.uniform(0.01, 0.04)
    canvas = tint + np.asarray(smooth, np.float32) / 255 - 0.5
    canvas += (wave * rng.uniform(0, 0.035) + grain)[..., None]
    background: FloatArray = canvas.clip(0, 1).astype(np.float32)
    return background


def draw_object(canvas: FloatArray, item: DrawnObject, rng: np.random.Generator) -> FloatArray:
    """Draw an object over ``canvas``, in place, turned and tinted at random.

    Returns:
        Its coverage of each pixel ``[H, W]``, in [0, 1]; parts beyond the canvas are cut off.
    """
    window = _window(canvas, item)
    shape, colour, pattern = item.attributes
    u, v = _own_frame(window, item, rng.uniform(0, 2 * np.pi))
    distance = OUTLINES[SHAPES[shape]](u, v) * item.radius  # pixels
    main = _tinted(COLOUR_VALUES[colour], rng)
    share = PATTERN_FIELDS[PATTERNS[pattern]](u, v, rng.random(), item.radius)[..., None]
    rim = soft_step(distance + max(1.0, 0.07 * item.radius))[..., None]
    paint = main + (ACCENT_VALUES[item.accent] - main) * share
    paint += (main * 0.7 - paint) * rim
    shadow = 0.35 * np.exp(-np.maximum(distance, 0) / (0.1 * item.radius))
    coverage = np.zeros(canvas.shape[:2], np.float32)
    coverage[window] = soft_step(-distance)
    canvas[window] *= 1 - shadow[..., None]
    canvas[window] += (paint - canvas[window]) * coverage[window][..., None]
    return coverage


def to_uint8(canvas: FloatArray) -> NDArray[np.uint8]:
    """Return a canvas as 8-bit RGB."""
    return (canvas * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _window(canvas: FloatArray, item: DrawnObject) -> tuple[slice, slice]:
    """Return the rows and columns that the object or its shadow can touch."""
    reach = 1.3 * item.radius + 1
    spans = [
        slice(max(int(middle - reach), 0), max(min(int(middle + reach) + 2, size), 0))
        for middle, size in zip(reversed(item.centre), canvas.shape[:2], strict=True)
    ]
    return spans[0], spans[1]


def _own_frame(
    window: tuple[slice, slice], item: DrawnObject, angle: float
) -> tuple[FloatArray, FloatArray]:
    """Return the pixel centres of a window in the frame of an object turned by ``angle``."""
    y, x = np.mgrid[window].astype(np.float32) + 0.5
    x, y = ((axis - middle) / item.radius for axis, middle in zip((x, y), item.centre, strict=True))
    cos, sin = float(np.cos(angle)), float(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def _tinted(colour: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Vary a colour's brightness by 12 % and each channel by a little."""
    return (
        (colour * rng.uniform(0.88, 1.12) + rng.normal(0, 0.018, 3)).clip(0, 1).astype(np.float32)
    )
