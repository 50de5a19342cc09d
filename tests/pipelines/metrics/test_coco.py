"""Tests for pipelines.metrics.coco."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipelines.metrics.coco import CocoFigures, coco_class_figures, mean_figures
from pipelines.metrics.joining import Detections, GroundTruth


def _truth(image: list[int], boxes: list[list[float]], crowd: list[bool]) -> GroundTruth:
    labels = np.zeros(len(image), np.int64)
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return GroundTruth(np.array(image, np.int64), labels, corners, np.array(crowd, np.bool_))


def _found(image: list[int], boxes: list[list[float]], score: list[float]) -> Detections:
    labels = np.zeros(len(image), np.int64)
    corners = np.array(boxes, np.float64).reshape(-1, 4)
    return Detections(np.array(image, np.int64), labels, corners, np.array(score, np.float64))


def test_a_perfect_detection_scores_one_in_its_size() -> None:
    """A box of 50 x 50 pixels is of medium size; there is nothing small to find."""
    boxes = [[0.0, 0.0, 50.0, 50.0]]

    figures = coco_class_figures(
        _truth([0], boxes, [False]), np.array([2500.0]), _found([0], boxes, [0.9])
    )

    assert (figures.AP, figures.AP50, figures.APm, figures.AR1) == pytest.approx((1, 1, 1, 1))
    assert np.isnan([figures.APs, figures.APl]).all()


def test_a_half_covered_box_counts_at_low_thresholds_only() -> None:
    """IoU 0.6 passes .50, .55 and .60, which are three of ten thresholds."""
    figures = coco_class_figures(
        _truth([0], [[0, 0, 100, 100]], [False]),
        np.array([1e4]),
        _found([0], [[0, 0, 100, 60.001]], [0.9]),
    )

    assert pytest.approx((1, 0, 0.3)) == (figures.AP50, figures.AP75, figures.AP)


def test_a_crowd_is_neither_found_nor_missed() -> None:
    """A detection inside a crowd is not wrong, and the crowd needs no detection."""
    boxes = [[0, 0, 50, 50], [100, 100, 300, 300]]
    truth, area = _truth([0, 0], boxes, [False, True]), np.array([2500.0, 4e4])

    figures = coco_class_figures(
        truth, area, _found([0, 0], [[150, 150, 200, 200], [0, 0, 50, 50]], [0.9, 0.8])
    )

    assert pytest.approx(1) == figures.AP


def test_a_class_without_ground_truth_is_left_out_of_the_mean() -> None:
    """Its figures are NaN, also where something was detected."""
    nothing = _truth([], [], [])
    wrong = coco_class_figures(nothing, np.empty(0), _found([0], [[0, 0, 9, 9]], [0.5]))
    absent = coco_class_figures(nothing, np.empty(0), _found([], [], []))
    right = CocoFigures(*np.full(13, 0.5).tolist())

    assert np.isnan([wrong.AP, wrong.AR100, absent.AP]).all()
    assert mean_figures([wrong, right, absent]) == right


@pytest.mark.real_data
def test_figures_equal_those_of_pycocotools(real_data: Path) -> None:
    """On 128 real images, with ties and objects of all sizes, every figure agrees."""
    source = real_data / "coco128" / "instances_val2017_128.json"
    dataset = json.loads(source.read_text())
    detections = _disturbed(dataset)
    images = sorted(image["id"] for image in dataset["images"])

    classes = []
    for category in sorted(category["id"] for category in dataset["categories"]):
        of_class = [a for a in dataset["annotations"] if a["category_id"] == category]
        found = [d for d in detections if d["category_id"] == category]
        truth = _truth(
            [images.index(a["image_id"]) for a in of_class],
            [_corners(a["bbox"]) for a in of_class],
            [bool(a["iscrowd"]) for a in of_class],
        )
        area = np.array([a["area"] for a in of_class], np.float64)
        ours = _found(
            [images.index(d["image_id"]) for d in found],
            [_corners(d["bbox"]) for d in found],
            [d["score"] for d in found],
        )
        classes.append(coco_class_figures(truth, area, ours))

    with contextlib.redirect_stdout(io.StringIO()):
        official = COCO(str(source))
        evaluation = COCOeval(official, official.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ours = list(vars(mean_figures(classes)).values())
    assert ours[:12] == pytest.approx(evaluation.stats.tolist(), abs=1e-12)
    assert ours[0] > 0.02  # there is something to agree on


def _disturbed(dataset: dict[str, Any]) -> list[dict[str, Any]]:
    """Return most annotations moved a little, and as many random boxes, with scores that tie."""
    random = np.random.default_rng(0)
    categories = [category["id"] for category in dataset["categories"]]
    detections = []
    for annotation in dataset["annotations"]:
        box = np.array(annotation["bbox"]) * (1 + random.normal(0, 0.1, 4))
        detections.append((annotation["image_id"], annotation["category_id"], box))
    for image in dataset["images"]:
        box = np.array([0.1, 0.1, 0.3, 0.4]) * np.tile([image["width"], image["height"]], 2)
        detections += [(image["id"], int(c), box) for c in random.choice(categories, 9)]
    return [
        {"image_id": image, "category_id": category, "bbox": box.tolist(),
         "score": round(float(random.random()), 2)}
        for image, category, box in detections
    ]  # fmt: skip


def _corners(box: list[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y + height]
