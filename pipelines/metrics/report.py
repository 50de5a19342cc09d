"""The result of an evaluation: by class, and by group of classes."""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.storage import atomic_path
from pipelines.vocabulary import Vocabulary

GROUP_ORDER = ("seen", "novel", "other")


@dataclass(frozen=True)
class EvaluateReport:
    """What an evaluation found.

    Args:
        metrics: Figures of each class.
        vocabulary: The evaluated classes.
        groups: ``seen``, ``other`` or ``novel`` for each of them, or ``unknown``.
        images: Images with annotations.
    """

    metrics: DetectionMetrics
    vocabulary: Vocabulary
    groups: tuple[str, ...]
    images: int

    def by_group(self) -> list["GroupSummary"]:
        """Return the means of each group of classes, and last those of all classes."""
        members = [
            (
                group,
                [i for i, g in zip(self.vocabulary.ids, self.groups, strict=True) if g == group],
            )
            for group in GROUP_ORDER
            if group in self.groups
        ]
        everything = [("all", list(self.vocabulary.ids))]
        return [self._summary(*part) for part in (*members, *everything)]

    def _summary(self, group: str, class_ids: Sequence[str]) -> "GroupSummary":
        counts = self.metrics.num_ground_truth
        return GroupSummary(
            group,
            classes=len(class_ids),
            with_ground_truth=sum(counts[class_id] > 0 for class_id in class_ids),
            AP50=self.metrics.mean_average_precision(class_ids),
            mean_recall=self.metrics.mean_recall(class_ids),
        )


@dataclass(frozen=True)
class GroupSummary:
    """Means over the classes of a group that have ground truth; NaN when none has."""

    group: str
    classes: int
    with_ground_truth: int
    AP50: float
    mean_recall: float


def write_per_class(report: EvaluateReport, path: Path) -> None:
    """Write one CSV row a class: id, name, group, AP50, recall, counts."""
    metrics = report.metrics
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["LabelName", "DisplayName", "Group", "AP50", "Recall", "GroundTruth", "Detections"]
        )
        for class_id, name, group in zip(
            report.vocabulary.ids, report.vocabulary.names, report.groups, strict=True
        ):
            figures = (metrics.average_precision[class_id], metrics.recall[class_id])
            counts = (metrics.num_ground_truth[class_id], metrics.num_detections[class_id])
            shown = ["" if math.isnan(figure) else repr(figure) for figure in figures]
            writer.writerow([class_id, name, group, *shown, *counts])
