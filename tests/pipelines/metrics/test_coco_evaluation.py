"""Tests for pipelines.metrics.coco_evaluation."""

import contextlib
import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from pipelines.data.annotations import BoxTable
from pipelines.data.coco import read_coco
from pipelines.data.predictions import PredictionTable
from pipelines.metrics.coco_evaluation import evaluate_coco

Build = Callable[..., Any]
A, B = (0, 0, 500, 500), (500, 500, 1000, 1000)


def test_only_the_best_of_an_image_count(tables: Build) -> None:
    """With one place an image, the class with the lower score loses its detection."""
    boxes = [("i", "cat", A, False), ("i", "dog", B, False)]
    world = tables(boxes, [("i", "cat", A, 0.9), ("i", "dog", B, 0.8)])
    sizes = np.full((1, 2), 1000)

    def precisions(limit: int | None) -> list[float]:
        found = evaluate_coco(
            world.annotations, [world.predictions], ["cat", "dog"], lambda ids: sizes, limit
        )
        assert found.metrics.num_true_positives == {"cat": 1, "dog": int(limit is None)}
        return [found.coco[name].AP for name in ("cat", "dog")]

    assert precisions(None) == pytest.approx([1, 1])
    assert precisions(1) == pytest.approx([1, 0])


@pytest.mark.parametrize(("box", "objects"), [
    ((500, 100, 200, 400), 0.0),  # left and right swapped: a negative area
    ((100, 100, 100, 400), 1.0),  # no area, and so never found
])  # fmt: skip
def test_a_box_that_is_none_is_no_object_or_never_found(
    tables: Build, box: tuple[int, ...], objects: float
) -> None:
    """What COCO has no figure for is not counted either, beside a sound class."""
    world = tables(
        [("i", "cat", box, False), ("i", "dog", A, False)],
        [("i", "cat", A, 0.9), ("i", "dog", A, 0.9)],
    )

    found = evaluate_coco(
        world.annotations, [world.predictions], ["cat", "dog"], lambda ids: np.full((1, 2), 1000)
    )

    assert found.metrics.num_ground_truth == {"cat": objects, "dog": 1.0}
    assert found.metrics.num_true_positives == {"cat": 0, "dog": 1}
    assert math.isnan(found.metrics.average_precision["cat"]) == (objects == 0)
    assert found.metrics.average_precision["dog"] == pytest.approx(1)


@pytest.mark.real_data
def test_a_coco_file_scores_as_pycocotools_scores_it(real_data: Path) -> None:
    """From the file through fractions of the image and back to pixels, all twelve figures agree."""
    source = real_data / "coco128" / "instances_val2017_128.json"
    annotations = read_coco(source)
    predictions = _disturbed(annotations.boxes)

    found = evaluate_coco(
        annotations, [predictions], annotations.vocabulary.ids, lambda ids: annotations.sizes
    )

    official = COCO(str(source))
    image_of = {Path(image["file_name"]).stem: image for image in official.dataset["images"]}
    results = [
        {
            "image_id": image_of[predictions.image_ids[image]]["id"],
            "category_id": int(predictions.class_ids[label]),
            "bbox": _pixels(box, image_of[predictions.image_ids[image]]),
            "score": score,
        }
        for image, label, box, score in zip(
            predictions.image, predictions.label, predictions.boxes, predictions.score, strict=True
        )
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(official, official.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    classes = np.array([list(vars(figures).values())[:12] for figures in found.coco.values()])
    assert np.nanmean(classes, axis=0) == pytest.approx(evaluation.stats, abs=1e-9)


def _disturbed(boxes: BoxTable) -> PredictionTable:
    """Return each annotated box moved a little, every third with another class."""
    random = np.random.default_rng(0)
    moved = boxes.boxes + random.normal(0, 0.01, boxes.boxes.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 0.01)
    label = boxes.label.copy()
    label[::3] = random.permutation(label[::3])
    score = random.random(len(boxes))
    return PredictionTable(boxes.image_ids, boxes.image, boxes.class_ids, label, score, moved)


def _pixels(box: np.ndarray, image: dict[str, Any]) -> list[float]:
    left, top, right, bottom = box * np.tile([image["width"], image["height"]], 2)
    return [float(left), float(top), float(right - left), float(bottom - top)]
