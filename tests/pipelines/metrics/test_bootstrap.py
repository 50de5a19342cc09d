"""Tests for pipelines.metrics.bootstrap. Boxes are in pixels of a 1000 x 1000 image."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.image_sizes import ImageSizes
from pipelines.metrics import bootstrap, evaluation
from pipelines.metrics.average_precision import average_precision, precision_recall
from pipelines.metrics.bootstrap import (
    Interval,
    SampledFigures,
    draw_samples,
    mean_over_classes,
)
from pipelines.metrics.evaluation import Evaluated, Protocol
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.release import ReleaseRules
from pipelines.metrics.rules import Rules

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py
World = Any  # what it builds

IMAGES, CLASSES = ("a", "b", "c"), ("x", "y")
BOXES = ((0, 0, 400, 400), (0, 0, 400, 210), (20, 20, 400, 380), (300, 300, 900, 900))
images, classes = st.sampled_from(IMAGES), st.sampled_from(CLASSES)
annotations = st.lists(
    st.tuples(images, classes, st.sampled_from(BOXES), st.booleans()), min_size=1, max_size=10
)
detections = st.lists(st.tuples(images, classes, st.sampled_from(BOXES)), max_size=20)
RULES = (OpenImagesRules(0.5), ReleaseRules(ImageSizes.uniform(1000, 1000).of))


def _sampled(world: World, rules: Rules, times: Mapping[str, int]) -> Evaluated:
    """Evaluate with two equal samples, chosen and not drawn."""
    sample = [[times[image_id] for image_id in rules.image_ids(world.annotations)]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "draw_samples", lambda *settings: np.array(sample * 2, np.uint16))
        return world.evaluate(rules, CLASSES, Protocol(bootstrap=2, recall_at=(2,)))


@settings(deadline=None)
@given(annotations, detections, st.sampled_from(RULES))
def test_a_sample_of_each_image_once_is_the_evaluation_itself(
    tables: Build, boxes: Rows, found: Rows, rules: Rules
) -> None:
    """Every class has its own figures again, to the last bit."""
    scored = [(*row, (rank + 1) / 32) for rank, row in enumerate(found)]

    result = _sampled(tables(boxes, scored), rules, dict.fromkeys(IMAGES, 1))

    for class_id in CLASSES:
        figures = result.metrics.sampled[class_id]
        plain = result.metrics.average_precision[class_id], result.metrics.recall[class_id]
        sampled = [*figures.average_precision, *figures.recall]
        assert np.array_equal(sampled, np.repeat(plain, 2), equal_nan=True)
    summary = result.recalls[0].of(CLASSES)
    for name, interval in summary.intervals.items():
        figure = getattr(summary, name)
        assert np.array_equal([interval.low, interval.high], [figure] * 2, equal_nan=True)


@settings(deadline=None)
@given(
    annotations,
    detections,
    st.lists(st.integers(0, 3), min_size=3, max_size=3),
    st.sampled_from(RULES),
)
def test_a_sample_is_as_good_as_copies_of_the_images(
    tables: Build, boxes: Rows, found: Rows, times: list[int], rules: Rules
) -> None:
    """Average precision and recalls equal those of a data set in which images really repeat."""
    scored = [(*row, (rank + 1) / 32) for rank, row in enumerate(found)]
    repeats = dict(zip(IMAGES, times, strict=True))
    copied = [
        [(f"{row[0]}{copy}", *row[1:]) for row in rows for copy in range(repeats[row[0]])]
        for rows in (boxes, scored)
    ]

    by_weight = _sampled(tables(boxes, scored), rules, repeats)
    by_copy = tables(*copied).evaluate(rules, CLASSES, Protocol(recall_at=(2,)))

    for class_id in CLASSES:
        figures = by_weight.metrics.sampled[class_id]
        assert [figures.average_precision[0], figures.recall[0]] == pytest.approx(
            [by_copy.metrics.average_precision[class_id], by_copy.metrics.recall[class_id]],
            abs=1e-12,
            nan_ok=True,
        )
    expected = by_copy.recalls[0].of(CLASSES)
    weighted = by_weight.recalls[0].of(CLASSES)
    for name, interval in weighted.intervals.items():
        sampled = getattr(weighted, name) + interval.bias
        wanted = getattr(expected, name) if not math.isnan(sampled) else math.nan
        assert sampled == pytest.approx(wanted, abs=1e-12, nan_ok=True)


def test_samples_are_drawn_with_replacement_and_by_seed() -> None:
    """Each sample has as many images as there are; the seed decides which."""
    samples = draw_samples(20, 50, seed=3)

    assert samples.shape == (20, 50)
    assert (samples.sum(axis=1) == 50).all()
    assert samples.max() > 1
    assert (samples == draw_samples(20, 50, seed=3)).all()
    assert (samples != draw_samples(20, 50, seed=4)).any()


def test_chunks_of_samples_change_nothing(tables: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with more detections than fit at once is weighted a few samples at a time."""
    boxes = [(image, "x", BOXES[0], False) for image in IMAGES]
    world = tables(boxes, [(image, "x", BOXES[k], k / 4) for image in IMAGES for k in range(4)])
    protocol = Protocol(bootstrap=5)
    whole = world.evaluate(RULES[0], CLASSES, protocol).metrics.sampled["x"]

    monkeypatch.setattr(bootstrap, "_ELEMENTS_PER_CHUNK", 24)

    parts = world.evaluate(RULES[0], CLASSES, protocol).metrics.sampled["x"]
    assert parts.average_precision.tolist() == whole.average_precision.tolist()
    assert parts.recall.tolist() == whole.recall.tolist()


def test_the_interval_lies_around_the_figure_less_its_bias() -> None:
    """It reaches 1.96 standard errors to either side, and ends at 0 and 1."""
    samples = np.array([0.5, 0.7, 0.6, math.nan])

    interval = Interval.around(0.3, samples)

    assert interval.standard_error == pytest.approx(0.1)
    assert interval.bias == pytest.approx(0.3)
    assert (interval.low, interval.high) == pytest.approx((0.0, 0.196))
    assert interval.is_unreliable
    near = Interval.around(0.55, samples)
    assert (near.low, near.high) == pytest.approx((0.5 - 0.196, 0.5 + 0.196))
    assert not near.is_unreliable
    assert Interval.around(0.0, samples).high == 0
    assert math.isnan(Interval.around(0.3, samples[2:]).low)


def test_the_mean_of_a_sample_is_over_the_classes_in_it() -> None:
    """A class without a figure in a sample is left out there, and a sample of none has no mean."""
    first, second = np.array([0.2, math.nan, math.nan]), np.array([0.4, 0.6, math.nan])

    assert mean_over_classes([first, second]) == pytest.approx(
        np.array([0.3, 0.6, math.nan]), nan_ok=True
    )


def test_the_standard_error_of_a_proportion_is_known() -> None:
    """That of a recall is sqrt(p (1 - p) / n) over n images with one box each."""
    found = np.random.default_rng(0).random(400) < 0.3
    samples = draw_samples(500, 400, 0)

    interval = Interval.around(found.mean(), samples @ found / 400)

    assert interval.standard_error == pytest.approx(
        math.sqrt(found.mean() * (1 - found.mean()) / 400), rel=0.1
    )


def test_intervals_hold_a_mean_average_precision_that_is_biased() -> None:
    """Of 60 data sets, over 5 in 6 hold it; without the bias taken off, fewer than 4 in 5 would.

    The truth is that of two million images. In 20 classes of some 240 boxes each, the figures of a
    data set lie above it by more than their standard error.
    """
    truth = _average_precision(_draw_class(np.random.default_rng(0), 2_000_000))
    held = held_around_figure = 0
    for seed in range(60):
        random = np.random.default_rng(seed + 1)
        classes = [_draw_class(random, 600) for _ in range(20)]
        samples = draw_samples(60, 600, seed)
        figure = float(np.mean([_average_precision(judged) for judged in classes]))
        interval = Interval.around(
            figure,
            mean_over_classes(
                [SampledFigures.of(judged, samples, 0.0).average_precision for judged in classes]
            ),
        )
        held += interval.low <= truth <= interval.high
        held_around_figure += abs(truth - figure) <= 1.96 * interval.standard_error

    assert held >= 60 * 5 / 6
    assert held_around_figure < 60 * 4 / 5


def _draw_class(random: np.random.Generator, num_images: int) -> Judgement:
    """Draw a class that 4 in 10 images have; 4 in 5 of its boxes are found, among wrong ones."""
    boxes = np.flatnonzero(random.random(num_images) < 0.4)
    right = boxes[random.random(len(boxes)) < 0.8]
    wrong = np.flatnonzero(random.random(num_images) < 0.8)
    return Judgement(
        score=np.append(random.beta(3, 2, len(right)), random.beta(2, 3, len(wrong))),
        credit=np.append(np.ones(len(right)), np.zeros(len(wrong))),
        image=np.append(right, wrong),
        num_ground_truth=float(len(boxes)),
        truth_image=boxes,
        truth_worth=np.ones(len(boxes)),
    )


def _average_precision(judged: Judgement) -> float:
    return average_precision(precision_recall(judged.score, judged.credit, judged.num_ground_truth))
