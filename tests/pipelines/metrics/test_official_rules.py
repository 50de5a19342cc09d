"""Both Open Images metrics against literal, one-detection-at-a-time readings of their rules.

The references below are slow and plain on purpose: no pairs, no sorting across images, no arrays
where a number will do. Scores repeat, so the order of ties is part of the promise.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.image_sizes import ImageSizes
from pipelines.metrics.open_images import open_images_metric
from pipelines.metrics.release import release_metric

SIDE = 1000  # of the image that the boxes are pixels of
IMAGES = ("a", "b", "c")
CLASSES = ("x", "y", "z")
EVALUATED = ("y", "x")
HEIGHT_WIDTH = {image: (30 + 5 * i, 50) for i, image in enumerate(IMAGES)}  # one pixel matters
SIZE = ImageSizes.from_mapping(HEIGHT_WIDTH)

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py
Box = Sequence[float]
Floats = Sequence[float] | np.ndarray

BOXES = (
    (0, 0, 400, 400), (0, 0, 400, 210), (0, 200, 400, 400), (20, 20, 400, 380), (0, 0, 300, 300),
    (0, 0, 900, 900), (300, 300, 900, 900), (200, 500, 1000, 1000), (600, 600, 700, 700),
    (600, 600, 700, 640), (620, 600, 680, 700), (0, 0, 40, 40), (0, 0, 40, 10),
    (50, 50, 50, 90), (400, 400, 0, 0), (400, 0, 0, 400), (500, 0, 400, 300),
)  # fmt: skip

any_boxes = st.sampled_from(BOXES)  # few, so they overlap, some by just one half; some inside out
scores = st.sampled_from([0.0, 0.1, 0.3, 0.3 + 1e-12, 0.7, 1.0])  # some equal, some in float32 only
images, classes = st.sampled_from(IMAGES), st.sampled_from(CLASSES)
annotations = st.lists(
    st.tuples(images, classes, any_boxes, st.booleans()), min_size=1, max_size=14
)
detections = st.lists(st.tuples(images, classes, any_boxes, scores), max_size=50)
verified = st.none() | st.lists(
    st.tuples(images, classes, st.booleans()), max_size=8, unique_by=lambda row: row[:2]
)


@settings(deadline=None, max_examples=400)
@given(annotations, detections, verified, st.sampled_from([0.0, 0.3, 1.0]))
def test_oid_equals_its_rules_read_literally(
    tables: Build, boxes: Rows, predictions: Rows, labels: Rows | None, weight: float
) -> None:
    """Any small world, with groups, ties, flat boxes and empty images, gives the same figures."""
    world = tables(boxes, predictions, labels)

    metrics = open_images_metric(
        world.boxes, world.labels, world.predictions, EVALUATED, group_of_weight=weight
    )

    for class_id in EVALUATED:
        expected = _oid(boxes, predictions, labels, class_id, weight)
        assert metrics.average_precision[class_id] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@settings(deadline=None, max_examples=400)
@given(annotations, detections, verified)
def test_release_equals_its_rules_read_literally(
    tables: Build, boxes: Rows, predictions: Rows, labels: Rows | None
) -> None:
    """Any small world gives the same average precision and the same recall."""
    world = tables(boxes, predictions, labels)

    metrics = release_metric(
        world.boxes, world.labels, world.predictions, EVALUATED, image_sizes=SIZE
    )

    for class_id in EVALUATED:
        precision, recall = _release(boxes, predictions, labels, class_id)
        found = metrics.average_precision[class_id], metrics.recall[class_id]
        assert found == pytest.approx((precision, recall), abs=1e-9, nan_ok=True)


def _oid(
    boxes: Rows, predictions: Rows, labels: Rows | None, class_id: str, weight: float
) -> float:
    annotated = {row[0] for row in boxes} | {row[0] for row in labels or ()}
    scores, credits, to_find = [], [], 0.0
    for image in sorted(annotated):
        objects = [_unit(r[2]) for r in boxes if r[:2] == (image, class_id) and not r[3]]
        groups = [_unit(r[2]) for r in boxes if r[:2] == (image, class_id) and r[3]]
        to_find += len(objects) + weight * len(groups)
        is_verified = any(row[:2] == (image, class_id) for row in labels or ())
        if labels is not None and not (objects or groups or is_verified):
            continue
        found = [(_unit(r[2]), r[3]) for r in predictions if r[:2] == (image, class_id)]
        found = [(b, s) for b, s in found if b[0] < b[2] and b[1] < b[3]]
        taken, best_in_group = set(), [0.0] * len(groups)
        for row in _best_first([score for _, score in found]):
            box, score = found[row]
            overlaps = [_ratio(box, other, 0, union=True) for other in objects]
            best = _argmax(overlaps)
            is_true = best is not None and overlaps[best] >= 0.5 and best not in taken
            shares = [_ratio(box, other, 0, union=False) for other in groups]
            group = _argmax(shares)
            if is_true:
                taken.add(best)
            elif group is not None and shares[group] >= 0.5:
                best_in_group[group] = max(best_in_group[group], score)
                continue
            scores.append(score)
            credits.append(float(is_true))
        for score in best_in_group:
            if score > 0 and weight > 0:
                scores.append(score)
                credits.append(weight)
    return _average_precision(np.array(scores, np.float64), credits, to_find)


def _release(
    boxes: Rows, predictions: Rows, labels: Rows | None, class_id: str
) -> tuple[float, float]:
    if labels is None:
        candidates = list(dict.fromkeys(row[0] for row in boxes))
    else:
        absent = {row[0] for row in labels if not row[2]}
        candidates = sorted({row[0] for row in boxes} | absent)
    scores, credits, to_find = [], [], 0
    for image in candidates:
        if not any(row[0] == image and row[1] in EVALUATED for row in predictions):
            continue
        truth = [(_pixels(image, r[2]), r[3]) for r in boxes if r[:2] == (image, class_id)]
        to_find += len(truth)
        if labels is not None and not truth and (image, class_id, False) not in labels:
            continue
        found = [
            (_pixels(image, r[2]), np.float32(r[3]))
            for r in predictions
            if r[:2] == (image, class_id)
        ]
        groups, taken = [i for i, (_, is_group) in enumerate(truth) if is_group], set()
        for row in _best_first(np.array([score for _, score in found], np.float32)):
            box, score = found[row]
            overlaps = [_ratio(box, other, 1, union=True) for other, _ in truth]
            match = _argmax(overlaps)
            if match is not None and not overlaps[match] >= 0.5:
                shares = [_ratio(box, truth[i][0], 1, union=False) for i in groups]
                group = _argmax(shares)
                in_group = group is not None and shares[group] >= 0.5
                match = groups[group] if in_group else None
            scores.append(score)
            credits.append(float(match is not None and match not in taken))
            taken.add(match)
    recall = sum(credits) / to_find if scores and to_find else math.nan
    return _average_precision(np.array(scores, np.float32), credits, to_find), recall


def _unit(box: Box) -> Box:
    return [np.float64(value) / SIDE for value in box]


def _pixels(image: str, box: Box) -> Box:
    height, width = HEIGHT_WIDTH[image]
    box = [np.float32(v / SIDE * s) for v, s in zip(box, (width, height) * 2, strict=True)]
    return [box[0], box[1], box[2] + np.float32(1), box[3] + np.float32(1)]


def _best_first(scores: Floats) -> list[int]:
    return np.argsort(scores)[::-1].tolist() if len(scores) else []


def _argmax(values: list[float]) -> int | None:
    return int(np.argmax(values)) if values else None


def _ratio(box: Box, other: Box, border: int, *, union: bool) -> float:
    width = max(min(box[2], other[2]) - max(box[0], other[0]) + border, 0)
    height = max(min(box[3], other[3]) - max(box[1], other[1]) + border, 0)
    areas = [(b[2] - b[0] + border) * (b[3] - b[1] + border) for b in (box, other)]
    whole = areas[0] + areas[1] - width * height if union else areas[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(width * height, whole)


def _average_precision(scores: Floats, credits: list[float], to_find: float) -> float:
    if to_find == 0:
        return math.nan
    true = false = 0.0
    points = [(0.0, 0.0)]
    for row in _best_first(scores):
        true += credits[row]
        false += credits[row] <= 0
        points.append((true / to_find, true / (true + false)))
    return sum(
        (recall - points[i][0]) * max(precision for _, precision in points[i + 1 :])
        for i, (recall, _) in enumerate(points[1:])
    )
