"""Average precision: the area under the precision-recall curve at all points.

Shapes: n detections of one class.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import FloatArray


@dataclass(frozen=True)
class PrecisionRecall:
    """Precision and recall after each detection, the best score first; ``[n]`` each."""

    precision: FloatArray
    recall: FloatArray


def precision_recall(
    score: NDArray[np.floating[Any]], credit: FloatArray, num_ground_truth: float
) -> PrecisionRecall:
    """Go through the detections by descending score and count the right and the wrong ones.

    Equal scores are taken in the order of ``np.argsort(score)[::-1]``, as both official evaluators
    do, so figures agree to the last digit only where numpy's (unstable) sort is the same.

    Args:
        score: ``[n]``.
        credit: ``[n]``, what each detection adds to the true positives; 0 is a false positive.
        num_ground_truth: What there is to find; positive.
    """
    ranked = credit[np.argsort(score)[::-1]]
    true_positives = ranked.cumsum()
    false_positives = (ranked <= 0).cumsum()
    return PrecisionRecall(
        true_positives / (true_positives + false_positives), true_positives / num_ground_truth
    )


def average_precision(curve: PrecisionRecall) -> float:
    """Return the area under the curve after each precision is raised to the best one to its right.

    This is ``compute_average_precision`` in ``utils/metrics.py`` of the TensorFlow Object Detection
    API; a curve without points has area 0.
    """
    recall = np.concatenate([[0.0], curve.recall, [1.0]])
    precision = np.concatenate([[0.0], curve.precision, [0.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    rises = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[rises] - recall[rises - 1]) * envelope[rises]).sum())
