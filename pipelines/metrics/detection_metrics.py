"""What a detection metric reports: one figure a class, and their means over groups of classes.

Shapes: N bootstrap samples, I images.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.average_precision import average_precision, precision_recall
from pipelines.metrics.bootstrap import Interval, SampledFigures, mean_over_classes
from pipelines.metrics.judgement import Judgement


@dataclass(frozen=True)
class DetectionMetrics:
    """The result of a metric; every mapping has every evaluated class id as a key.

    Args:
        metric: The metric's name.
        average_precision: NaN for a class without ground truth.
        recall: After the last detection; NaN for a class that the metric leaves out of its mean.
        num_ground_truth: Boxes to find; a group counts with its weight.
        num_detections: Detections that were judged right or wrong.
        num_true_positives: Those of them that were right.
        sampled: Average precision and recall in resampled images, where they were asked for.
    """

    metric: str
    average_precision: Mapping[str, float]
    recall: Mapping[str, float]
    num_ground_truth: Mapping[str, float]
    num_detections: Mapping[str, int]
    num_true_positives: Mapping[str, int]
    sampled: Mapping[str, SampledFigures] | None = None

    def mean_average_precision(self, class_ids: Iterable[str] | None = None) -> float:
        """Return the mean over all or some classes, NaN excluded; NaN if nothing is left."""
        return _mean(self.average_precision, class_ids)

    def mean_recall(self, class_ids: Iterable[str] | None = None) -> float:
        """Return the mean over all or some classes, NaN excluded; NaN if nothing is left."""
        return _mean(self.recall, class_ids)

    def average_precision_interval(self, class_ids: Sequence[str]) -> Interval | None:
        """Return the bootstrap interval of the mean over some classes, where it was asked for."""
        if self.sampled is None:
            return None
        samples = mean_over_classes([self.sampled[i].average_precision for i in class_ids])
        return Interval.around(self.mean_average_precision(class_ids), samples)

    def recall_interval(self, class_ids: Sequence[str]) -> Interval | None:
        """Return the bootstrap interval of the mean over some classes, where it was asked for."""
        if self.sampled is None:
            return None
        samples = mean_over_classes([self.sampled[i].recall for i in class_ids])
        return Interval.around(self.mean_recall(class_ids), samples)


class Tally:
    """The figures of a metric, as they are added class by class.

    Args:
        metric: The metric's name.
        recall_without_detections: The recall of a class that has ground truth and no detection; NaN
            leaves it out of the mean.
        samples: ``[N, I]``, how often each image is in each bootstrap sample.
    """

    def __init__(
        self,
        metric: str,
        recall_without_detections: float,
        samples: NDArray[np.uint16] | None = None,
    ) -> None:
        self._metric, self._samples = metric, samples
        self._recall_without_detections = recall_without_detections
        self._judged: dict[str, _ClassFigures] = {}
        self._sampled: dict[str, SampledFigures] = {}

    def add(self, class_id: str, judged: Judgement) -> None:
        """Count what was found of one class."""
        precision, recall = self._average_precision_and_recall(judged)
        self._judged[class_id] = _ClassFigures(
            precision,
            recall,
            num_ground_truth=judged.num_ground_truth,
            num_detections=len(judged.score),
            num_true_positives=int((judged.credit > 0).sum()),
        )
        if self._samples is not None:
            self._sampled[class_id] = SampledFigures.of(
                judged, self._samples, self._recall_without_detections
            )

    def finish(self) -> DetectionMetrics:
        """Return the figures of all classes."""
        columns = {
            name: {class_id: getattr(figures, name) for class_id, figures in self._judged.items()}
            for name in _ClassFigures.__dataclass_fields__
        }
        sampled = None if self._samples is None else self._sampled
        return DetectionMetrics(self._metric, **columns, sampled=sampled)

    def _average_precision_and_recall(self, judged: Judgement) -> tuple[float, float]:
        if judged.num_ground_truth <= 0:
            return float("nan"), float("nan")
        curve = precision_recall(judged.score, judged.credit, judged.num_ground_truth)
        found = len(curve.recall) > 0
        recall = float(curve.recall[-1]) if found else self._recall_without_detections
        return average_precision(curve), recall


@dataclass(frozen=True)
class _ClassFigures:
    """A class's part of the fields of the same name."""

    average_precision: float
    recall: float
    num_ground_truth: float
    num_detections: int
    num_true_positives: int


def _mean(values: Mapping[str, float], class_ids: Iterable[str] | None) -> float:
    chosen_ids = values if class_ids is None else class_ids
    chosen = np.array([values[class_id] for class_id in chosen_ids], np.float64)
    known = chosen[~np.isnan(chosen)]
    return float(known.mean()) if len(known) else float("nan")
