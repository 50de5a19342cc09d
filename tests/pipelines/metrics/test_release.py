"""Tests for pipelines.metrics.release. Boxes are in pixels of a 1000 x 1000 image."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines.data.image_sizes import ImageSizes
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.predictions import read_predictions
from pipelines.errors import MismatchError
from pipelines.metrics.release import release_metric

Rows = Sequence[tuple[Any, ...]]
Build = Callable[..., Any]  # the fixture of conftest.py

A = (0, 0, 100, 100)
GROUP = (200, 200, 800, 800)
IN_GROUP = (210, 210, 300, 300), (400, 400, 500, 500)
SIZES = ImageSizes.uniform(1000, 1000)

VECTORS = {
    "the second detection in a group is wrong": (
        [("i", "c", A, False), ("i", "c", GROUP, True)],
        [("i", "c", IN_GROUP[0], 0.9), ("i", "c", IN_GROUP[1], 0.8), ("i", "c", A, 0.7)],
        0.5 + 0.5 * 2 / 3,
    ),
    "a duplicate in a group is an error": (
        [("i", "c", A, False), ("i", "c", (0, 0, 900, 900), True)],
        [("i", "c", (0, 0, 100, 90), 0.9), ("i", "c", A, 0.8)],
        0.5,
    ),
    "boxes are larger than they are": (
        [("i", "c", (0, 0, 10, 10), False), ("j", "c", (0, 0, 10, 10), False)],
        [("i", "c", (0, 0, 10, 4.9), 0.9), ("j", "c", (500, 500, 510, 510), 0.5)],
        0.5,
    ),
    "boxes are larger by two pixels, not one": (
        [("i", "c", (0, 0, 10, 10), False), ("j", "c", (0, 0, 10, 10), False)],
        [("i", "c", (0, 0, 10, 4.2), 0.9), ("j", "c", (500, 500, 510, 510), 0.5)],
        0.5,
    ),
    "a missed group is a miss": (
        [("i", "c", A, False), ("i", "c", GROUP, True)],
        [("i", "c", A, 0.9)],
        0.5,
    ),
}


@pytest.mark.parametrize(("boxes", "predictions", "expected"), VECTORS.values(), ids=VECTORS.keys())
def test_known_cases(tables: Build, boxes: Rows, predictions: Rows, expected: float) -> None:
    """Small cases have the average precision that the released evaluator gives."""
    world = tables(boxes, predictions)

    metrics = release_metric(world.boxes, world.labels, world.predictions, ["c"], image_sizes=SIZES)

    assert metrics.average_precision["c"] == pytest.approx(expected, abs=1e-4)


def test_a_class_without_detections_is_left_out_of_the_mean_recall(tables: Build) -> None:
    """Its average precision is 0 all the same."""
    world = tables([("i", "c", A, False), ("i", "d", A, False)], [("i", "c", A, 0.9)])

    metrics = release_metric(world.boxes, None, world.predictions, ["c", "d"], image_sizes=SIZES)

    assert metrics.average_precision == {"c": 1.0, "d": 0.0}
    assert metrics.mean_recall() == 1.0


def test_an_image_without_detections_is_left_out(tables: Build) -> None:
    """Its boxes are not counted among those to find; any detection brings them back."""
    boxes = [("i", "c", A, False), ("j", "c", A, False)]
    without = tables(boxes, [("i", "c", A, 0.9)])
    other_class = tables(boxes, [("i", "c", A, 0.9), ("j", "d", GROUP, 0.9)])

    found = [
        release_metric(world.boxes, None, world.predictions, ["c", "d"], image_sizes=SIZES)
        for world in (without, other_class)
    ]

    assert [metrics.num_ground_truth["c"] for metrics in found] == [1, 2]
    assert [metrics.average_precision["c"] for metrics in found] == [1.0, 0.5]


@pytest.mark.parametrize(("labels", "num_detections"), [
    (None, 2),
    ([("j", "c", True)], 1),
    ([("j", "c", False)], 2),
    ([("k", "c", False)], 2),
    ([], 1),
])  # fmt: skip
def test_only_absent_classes_count_as_verified(
    tables: Build, labels: Rows | None, num_detections: int
) -> None:
    """With image-level labels, a detection counts where its class is absent or has a box."""
    world = tables(
        [("i", "c", A, False), ("j", "d", A, False)],
        [("i", "c", A, 0.5), ("j", "c", A, 0.9), ("k", "c", A, 1.0)],
        labels,
    )

    metrics = release_metric(world.boxes, world.labels, world.predictions, ["c"], image_sizes=SIZES)

    assert metrics.num_detections == {"c": num_detections}


def test_an_unknown_image_size_is_refused(tables: Build) -> None:
    """The message names the image and how many are missing."""
    world = tables([("i", "c", A, False), ("j", "c", A, False)], [("i", "c", A, 0.5)])

    with pytest.raises(MismatchError, match=r"size of image 'j' is not known \(1 of 2 images\)"):
        release_metric(
            world.boxes,
            None,
            world.predictions,
            ["c"],
            image_sizes=ImageSizes.from_mapping({"i": (9, 9)}),
        )


@pytest.mark.real_data
def test_figures_equal_those_of_the_released_evaluator(real_data: Path) -> None:
    """Every class and both means agree to 1e-6."""
    folder = real_data / "goldens" / "oid-challenge"
    golden = json.loads((folder / "expected.json").read_text())["aewtn-release"]

    metrics = release_metric(
        read_boxes(folder / "annotations-bbox.csv", "keep"),
        read_image_labels(folder / "annotations-human-imagelabels.csv"),
        read_predictions(folder / "predictions.csv"),
        list(golden["AP"]),
        image_sizes=ImageSizes.uniform(height=768, width=1024),
    )

    assert metrics.mean_average_precision() == pytest.approx(golden["mAP"], abs=1e-6, rel=0)
    assert metrics.mean_recall() == pytest.approx(golden["mAR"], abs=1e-6, rel=0)
    found = np.array(list(metrics.average_precision.values()))
    np.testing.assert_allclose(found, list(golden["AP"].values()), rtol=0, atol=1e-6)
