"""Tests for pipelines.metrics.open_images. Boxes are in pixels of a 1000 x 1000 image."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.predictions import read_predictions
from pipelines.errors import ConfigError
from pipelines.metrics.open_images import open_images_metric

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py

A = (0, 0, 100, 100)
GROUP = (200, 200, 800, 800)
IN_GROUP = (210, 210, 300, 300), (400, 400, 500, 500)

VECTORS = {
    "detections in a group count once": (
        [("i", "c", A, False), ("i", "c", GROUP, True)],
        [("i", "c", IN_GROUP[0], 0.9), ("i", "c", IN_GROUP[1], 0.8), ("i", "c", A, 0.7)],
        1.0,
        1.0,
    ),
    "a duplicate in a group is no error": (
        [("i", "c", A, False), ("i", "c", (0, 0, 900, 900), True)],
        [("i", "c", (0, 0, 100, 90), 0.9), ("i", "c", A, 0.8)],
        1.0,
        1.0,
    ),
    "an overlap below one half is no match": (
        [("i", "c", (0, 0, 10, 10), False), ("j", "c", (0, 0, 10, 10), False)],
        [("i", "c", (0, 0, 10, 4.9), 0.9), ("j", "c", (500, 500, 510, 510), 0.5)],
        1.0,
        0.0,
    ),
    "a missed group is a miss": (
        [("i", "c", A, False), ("i", "c", GROUP, True)],
        [("i", "c", A, 0.9)],
        1.0,
        0.5,
    ),
    "a missed group of weight 0 is none": (
        [("i", "c", A, False), ("i", "c", GROUP, True)],
        [("i", "c", A, 0.9)],
        0.0,
        1.0,
    ),
}


@pytest.mark.parametrize(
    ("boxes", "predictions", "weight", "expected"), VECTORS.values(), ids=VECTORS.keys()
)
def test_known_cases(
    tables: Build, boxes: Rows, predictions: Rows, weight: float, expected: float
) -> None:
    """Small cases have the average precision that the rules of the challenge give by hand."""
    world = tables(boxes, predictions)

    metrics = open_images_metric(
        world.boxes, world.labels, world.predictions, ["c"], group_of_weight=weight
    )

    assert metrics.average_precision["c"] == pytest.approx(expected, abs=1e-12)


def test_a_class_without_detections_counts_as_missed(tables: Build) -> None:
    """Average precision and recall are 0, and the means include them."""
    world = tables([("i", "c", A, False), ("i", "d", A, False)], [("i", "c", A, 0.9)])

    metrics = open_images_metric(world.boxes, None, world.predictions, ["c", "d"])

    assert metrics.average_precision == {"c": 1.0, "d": 0.0}
    assert metrics.mean_recall() == 0.5


def test_an_image_without_detections_counts_as_missed(tables: Build) -> None:
    """Its boxes stay in the number to find."""
    world = tables([("i", "c", A, False), ("j", "c", A, False)], [("i", "c", A, 0.9)])

    metrics = open_images_metric(world.boxes, None, world.predictions, ["c"])

    assert metrics.num_ground_truth == {"c": 2}
    assert metrics.average_precision["c"] == 0.5


@pytest.mark.parametrize(("labels", "num_detections"), [
    (None, 3),  # exhaustive boxes: j has no "c", so both detections there are wrong
    ([("k", "c", True)], 1),
    ([("j", "c", False)], 3),
    ([("j", "c", True)], 3),
    ([("j", "d", False)], 1),
])  # fmt: skip
def test_only_verified_classes_count(
    tables: Build, labels: Rows | None, num_detections: int
) -> None:
    """With image-level labels, a detection counts where its class is verified or has a box."""
    world = tables(
        [("i", "c", A, False), ("j", "d", A, False)],
        [
            ("i", "c", A, 0.5),
            ("j", "c", A, 0.9),
            ("j", "c", GROUP, 0.8),
            ("elsewhere", "c", A, 1.0),
        ],
        labels,
    )

    metrics = open_images_metric(world.boxes, world.labels, world.predictions, ["c"])

    assert metrics.num_detections == {"c": num_detections}


def test_an_empty_table_of_labels_verifies_nothing(tables: Build) -> None:
    """It differs from having no table: only classes with a box in the image count."""
    world = tables([("i", "d", A, False)], [("i", "c", A, 0.5)], [])

    metrics = open_images_metric(world.boxes, world.labels, world.predictions, ["c"])

    assert metrics.num_detections == {"c": 0}


def test_detections_without_area_are_dropped(tables: Build) -> None:
    """They are neither right nor wrong."""
    flat = [("i", "c", (50, 50, 50, 90), 0.9), ("i", "c", (50, 90, 90, 50), 0.8)]
    world = tables([("i", "c", A, False)], [*flat, ("i", "c", A, 0.1)])

    metrics = open_images_metric(world.boxes, None, world.predictions, ["c"])

    assert metrics.num_detections == {"c": 1}
    assert metrics.average_precision["c"] == 1.0


def test_ten_thousand_detections_of_a_class_count_in_an_image(tables: Build) -> None:
    """The best ones, that is; another image has its own ten thousand."""
    crowd = [("i", "c", GROUP, 0.9)] * 10_000 + [("i", "c", A, 0.5)]
    world = tables([("i", "c", A, False), ("j", "c", A, False)], [*crowd, ("j", "c", A, 0.5)])

    metrics = open_images_metric(world.boxes, None, world.predictions, ["c"])

    assert metrics.num_detections == {"c": 10_001}
    assert metrics.recall["c"] == 0.5


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_an_impossible_weight_is_refused(tables: Build, weight: float) -> None:
    """A group is worth a finite number from 0."""
    world = tables([("i", "c", A, False)], [("i", "c", A, 0.5)])

    with pytest.raises(ConfigError, match=f"must be 0 or more, found {weight}"):
        open_images_metric(world.boxes, None, world.predictions, ["c"], group_of_weight=weight)


@pytest.mark.real_data
@pytest.mark.parametrize("weight", [0, 1])
def test_figures_equal_those_of_the_tensorflow_evaluator(real_data: Path, weight: int) -> None:
    """Every class and the mean agree with OpenImagesChallengeEvaluator to 1e-9."""
    folder = real_data / "goldens" / "oid-challenge"
    golden = json.loads((folder / "expected.json").read_text())[f"group_of_weight={weight}"]
    mean = golden.pop("Precision/mAP@0.5IOU")
    expected = {key.split("/", 2)[2]: value for key, value in golden.items()}

    metrics = open_images_metric(
        read_boxes(folder / "annotations-bbox.csv", "keep"),
        read_image_labels(folder / "annotations-human-imagelabels.csv"),
        read_predictions(folder / "predictions.csv"),
        list(expected),
        group_of_weight=weight,
    )

    assert metrics.mean_average_precision() == pytest.approx(mean, abs=1e-9, rel=0)
    found = np.array(list(metrics.average_precision.values()))
    np.testing.assert_allclose(found, list(expected.values()), rtol=0, atol=1e-9)
