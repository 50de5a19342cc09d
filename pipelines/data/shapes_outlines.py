"""The outlines and patterns of the procedural world, as functions of a point.

A point (u, v) lies in the object's own frame, where every shape fits the unit circle. A shape is
the distance to its outline, negative inside and about exact nearby, so one function gives the mask,
its soft edge, the dark rim and the shadow. A pattern is how much of its accent colour a point has.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
Outline = Callable[[FloatArray, FloatArray], FloatArray]
Pattern = Callable[[FloatArray, FloatArray, float, float], FloatArray]


def soft_step(distance: FloatArray) -> FloatArray:
    """Return how much of a pixel lies on the positive side of an edge ``distance`` pixels away."""
    share: FloatArray = np.clip(0.5 + distance, 0, 1)
    return share


def _disc(u: FloatArray, v: FloatArray, radius: float) -> FloatArray:
    return np.hypot(u, v) - radius


def _box(u: FloatArray, v: FloatArray, half_width: float, half_height: float) -> FloatArray:
    return np.maximum(np.abs(u) - half_width, np.abs(v) - half_height)


def _half_plane(u: FloatArray, v: FloatArray, degrees: float, offset: float) -> FloatArray:
    angle = np.deg2rad(degrees)
    return u * float(np.cos(angle)) + v * float(np.sin(angle)) - offset


def _polygon(u: FloatArray, v: FloatArray, sides: dict[float, float]) -> FloatArray:
    """Return the distance to a convex polygon, given as {outward normal in degrees: offset}."""
    planes = [_half_plane(u, v, degrees, offset) for degrees, offset in sides.items()]
    distance: FloatArray = np.maximum.reduce(planes)
    return distance


def _folded(u: FloatArray, v: FloatArray, sectors: int) -> tuple[FloatArray, FloatArray]:
    """Turn and mirror each point into the first half sector of a rotational symmetry."""
    sector = 2 * np.pi / sectors
    angle = np.abs(np.mod(np.arctan2(v, u) + sector / 2, sector) - sector / 2)
    radius = np.hypot(u, v)
    return radius * np.cos(angle), radius * np.sin(angle)


def _star(u: FloatArray, v: FloatArray) -> FloatArray:
    return _half_plane(*_folded(u, v, 5), 54, np.cos(np.deg2rad(54)))


def _cross(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.minimum(_box(u, v, 0.95, 0.30), _box(u, v, 0.30, 0.95))


def _heart(u: FloatArray, v: FloatArray) -> FloatArray:
    lobes = _disc(np.abs(u) - 0.354, v + 0.284, 0.5)
    point = _polygon(u, v, {45: 0.55, 135: 0.55, -45: 0.45, -135: 0.45})
    return np.minimum(lobes, point)


def _crescent(u: FloatArray, v: FloatArray) -> FloatArray:
    return np.maximum(_disc(u, v, 1), -_disc(u - 0.50, v, 0.78))


def _arrow(u: FloatArray, v: FloatArray) -> FloatArray:
    head = _polygon(u, v, {50: 0.63, -50: 0.63, 180: 0.0})
    return np.minimum(head, _box(u + 0.45, v, 0.5, 0.27))


def _drop(u: FloatArray, v: FloatArray) -> FloatArray:
    bowl = _disc(u + 0.35, v, 0.62)
    tip = _polygon(u, v, {62.65: 0.4593, -62.65: 0.4593, 180: 0.07})
    return np.minimum(bowl, tip)


def _flower(u: FloatArray, v: FloatArray) -> FloatArray:
    across, along = _folded(u, v, 6)
    return np.minimum(_disc(across - 0.66, along, 0.32), _disc(u, v, 0.62))


def _pill(u: FloatArray, v: FloatArray) -> FloatArray:
    return _disc(np.maximum(np.abs(u) - 0.58, 0), v, 0.40)


OUTLINES: dict[str, Outline] = {
    "circle": lambda u, v: _disc(u, v, 0.92),
    "square": lambda u, v: _box(u, v, 0.72, 0.72),
    "triangle": lambda u, v: _polygon(u, v, {90: 0.5, 210: 0.5, 330: 0.5}),
    "star": _star,
    "cross": _cross,
    "heart": _heart,
    "crescent": _crescent,
    "ring": lambda u, v: np.abs(_disc(u, v, 0.70)) - 0.26,
    "arrow": _arrow,
    "drop": _drop,
    "flower": _flower,
    "pill": _pill,
}
"""The distance to each shape's outline, in radii of its circumscribed circle."""


def _wave(position: FloatArray, period: float, phase: float) -> FloatArray:
    """Return a sine with slope about 1, so that it measures the distance to its own zeros."""
    turns = 2 * np.pi / period
    wave: FloatArray = np.sin(position * turns + 2 * np.pi * phase) / turns
    return wave


def _dots(u: FloatArray, v: FloatArray, spacing: float, phase: float) -> FloatArray:
    cell_u, cell_v = (np.mod(axis / spacing + phase, 1) - 0.5 for axis in (u, v))
    inside: FloatArray = (0.30 - np.hypot(cell_u, cell_v)) * spacing
    return inside


def _checks(u: FloatArray, v: FloatArray, period: float, phase: float) -> FloatArray:
    product = _wave(u, period, phase) * _wave(v, period, phase)
    return product * (2 * np.pi / period)


def _rays(u: FloatArray, v: FloatArray, count: int, phase: float) -> FloatArray:
    turned = np.arctan2(v, u) * count + 2 * np.pi * phase
    wave: FloatArray = np.sin(turned) * np.hypot(u, v) / count
    return wave


PATTERN_FIELDS: dict[str, Pattern] = {
    "solid": lambda u, v, phase, radius: np.zeros_like(u),
    "striped": lambda u, v, phase, radius: soft_step(_wave(v, 0.52, phase) * radius),
    "dotted": lambda u, v, phase, radius: soft_step(_dots(u, v, 0.48, phase) * radius),
    "checked": lambda u, v, phase, radius: soft_step(_checks(u, v, 0.86, phase) * radius),
    "ringed": lambda u, v, phase, radius: soft_step(_wave(np.hypot(u, v), 0.50, phase) * radius),
    "rayed": lambda u, v, phase, radius: soft_step(_rays(u, v, 6, phase) * radius),
    "split": lambda u, v, phase, radius: soft_step((u + 0.2 * phase - 0.1) * radius),
    "faded": lambda u, v, phase, radius: np.clip(0.45 + 0.1 * phase + 0.6 * u, 0, 0.95),
}
"""The share of accent colour at a point, given a phase in [0, 1) and the radius in pixels."""
