"""What a detection metric reports: one figure a class, and their means over groups of classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import FloatArray
from pipelines.metrics.average_precision import average_precision, precision_recall


@dataclass(frozen=True)
class DetectionMetrics:
    """The result of a metric; every mapping has every evaluated class id as a key.

    Args:
        metric: The metric's name.
        average_precision: NaN for a class without ground truth.
        recall: After the last detection; NaN for a class that the metric leaves out of its mean.
        num_ground_truth: Boxes to find; a group counts with its weight.
        num_detections: Detections that were judged right or wrong.
    """

    metric: str
    average_precision: Mapping[str, float]
    recall: Mapping[str, float]
    num_ground_truth: Mapping[str, float]
    num_detections: Mapping[str, int]

    def mean_average_precision(self, class_ids: Iterable[str] | None = None) -> float:
        """Return the mean over all or some classes, NaN excluded; NaN if nothing is left."""
        return _mean(self.average_precision, class_ids)

    def mean_recall(self, class_ids: Iterable[str] | None = None) -> float:
        """Return the mean over all or some classes, NaN excluded; NaN if nothing is left."""
        return _mean(self.recall, class_ids)


@dataclass(frozen=True)
class Judgement:
    """The detections of one class over all images, judged; n of them.

    Args:
        score: ``[n]``.
        credit: ``[n]`` float64, what each adds to the true positives; 0 is a false positive.
        num_ground_truth: What there is to find.
    """

    score: NDArray[np.floating[Any]]
    credit: FloatArray
    num_ground_truth: float


def summarise(
    metric: str, judgements: Mapping[str, Judgement], *, recall_without_detections: float
) -> DetectionMetrics:
    """Return the figures of each class.

    Args:
        metric: The metric's name.
        judgements: By class id.
        recall_without_detections: The recall of a class that has ground truth and no detection; NaN
            leaves it out of the mean.
    """
    precisions, recalls = {}, {}
    for class_id, judged in judgements.items():
        precisions[class_id] = recalls[class_id] = float("nan")
        if judged.num_ground_truth > 0:
            curve = precision_recall(judged.score, judged.credit, judged.num_ground_truth)
            precisions[class_id] = average_precision(curve)
            found = len(curve.recall) > 0
            recalls[class_id] = float(curve.recall[-1]) if found else recall_without_detections
    return DetectionMetrics(
        metric,
        precisions,
        recalls,
        {class_id: judged.num_ground_truth for class_id, judged in judgements.items()},
        {class_id: len(judged.score) for class_id, judged in judgements.items()},
    )


def _mean(values: Mapping[str, float], class_ids: Iterable[str] | None) -> float:
    chosen_ids = values if class_ids is None else class_ids
    chosen = np.array([values[class_id] for class_id in chosen_ids], np.float64)
    known = chosen[~np.isnan(chosen)]
    return float(known.mean()) if len(known) else float("nan")
