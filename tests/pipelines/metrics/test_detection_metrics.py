"""Tests for pipelines.metrics.detection_metrics."""

import math

import numpy as np
import pytest

from pipelines.metrics.detection_metrics import DetectionMetrics, Judgement, summarise


@pytest.fixture
def metrics() -> DetectionMetrics:
    """Return three classes: half found, without ground truth, without detections."""
    return summarise(
        "test",
        {
            "half": Judgement(np.array([0.5]), np.array([1.0]), 2),
            "absent": Judgement(np.array([0.5]), np.array([0.0]), 0),
            "missed": Judgement(np.empty(0), np.empty(0), 3),
        },
        recall_without_detections=0.25,
    )


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


def test_means_leave_out_what_is_not_a_number(metrics: DetectionMetrics) -> None:
    """The mean goes over the named classes, or all, that have a figure."""
    assert metrics.mean_average_precision() == 0.25
    assert metrics.mean_average_precision(["half", "absent"]) == 0.5
    assert metrics.mean_recall() == 0.375
    assert math.isnan(metrics.mean_average_precision(["absent"]))
    assert math.isnan(metrics.mean_recall([]))
