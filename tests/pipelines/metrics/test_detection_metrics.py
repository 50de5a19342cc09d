"""Tests for pipelines.metrics.detection_metrics."""

import math

import numpy as np
import pytest

from pipelines.metrics.detection_metrics import DetectionMetrics, Tally
from pipelines.metrics.judgement import Judgement


@pytest.fixture
def metrics() -> DetectionMetrics:
    """Return three classes: half found, without ground truth, without detections."""
    tally = Tally("test", recall_without_detections=0.25)
    for class_id, credit, num_ground_truth in (
        ("half", [1.0], 2),
        ("absent", [0.0], 0),
        ("missed", [], 3),
    ):
        count = len(credit)
        tally.add(
            class_id,
            Judgement(
                score=np.full(count, 0.5),
                credit=np.array(credit, np.float64),
                image=np.zeros(count, np.int64),
                num_ground_truth=num_ground_truth,
                truth_image=np.zeros(num_ground_truth, np.int64),
                truth_worth=np.ones(num_ground_truth),
            ),
        )
    return tally.finish()


def test_classes_without_ground_truth_are_not_a_number(metrics: DetectionMetrics) -> None:
    """A class with nothing to find has no figure; one that was missed has average precision 0."""
    assert math.isnan(metrics.average_precision["absent"])
    assert math.isnan(metrics.recall["absent"])
    assert metrics.average_precision["missed"] == 0
    assert metrics.recall == pytest.approx(
        {"half": 0.5, "absent": math.nan, "missed": 0.25}, nan_ok=True
    )
    assert metrics.num_ground_truth == {"half": 2, "absent": 0, "missed": 3}
    assert metrics.num_detections == {"half": 1, "absent": 1, "missed": 0}
    assert metrics.num_true_positives == {"half": 1, "absent": 0, "missed": 0}


def test_means_leave_out_what_is_not_a_number(metrics: DetectionMetrics) -> None:
    """The mean goes over the named classes, or all, that have a figure."""
    assert metrics.mean_average_precision() == 0.25
    assert metrics.mean_average_precision(["half", "absent"]) == 0.5
    assert metrics.mean_recall() == 0.375
    assert math.isnan(metrics.mean_average_precision(["absent"]))
    assert math.isnan(metrics.mean_recall([]))
