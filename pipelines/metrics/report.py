"""The result of an evaluation: by class, and by group of classes."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from pipelines.config import Metric
from pipelines.metrics.bootstrap import Interval
from pipelines.metrics.coco import CocoFigures, mean_figures
from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.metrics.evaluation import ClassCounts, Evaluated, Protocol
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.recall import RecallSummary
from pipelines.storage import atomic_path
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class GroupSummary:
    """Means over the classes of a group that have ground truth; NaN when none has.

    Args:
        group: ``seen``, ``novel``, ``novel_ancestors``, ``novel_others``, ``other`` or ``all``.
        classes: In the group.
        with_ground_truth: Those of them that have boxes.
        AP50: Mean average precision.
        mean_recall: After the last detection.
        AP50_interval: Of the bootstrap samples, where they were asked for.
        mean_recall_interval: The same of the recall.
        recall_at: AR@k by k, where it was asked for.
        coco: Means of COCO's figures, under the metric ``coco``.
    """

    group: str
    classes: int
    with_ground_truth: int
    AP50: float
    mean_recall: float
    AP50_interval: Interval | None
    mean_recall_interval: Interval | None
    recall_at: Mapping[int, RecallSummary]
    coco: CocoFigures | None


@dataclass(frozen=True)
class JointFigures:
    """A figure with seen and novel classes in one competition, and each on their own.

    Args:
        joint: Generalised zero-shot: all classes compete for the places of an image.
        alone: The paper's protocol: only the classes of the row are detected.
    """

    joint: float
    alone: float


@dataclass(frozen=True)
class JointSummary:
    """One row of a joint evaluation: ``seen``, ``novel`` or their ``harmonic_mean``."""

    group: str
    AP50: JointFigures
    mean_recall: JointFigures


@dataclass(frozen=True)
class Conditions:
    """What figures depend on besides the detections; only those of equal conditions compare.

    Args:
        metric: Its name.
        max_detections: Of an image, that are judged; None if all are.
        group_of_weight: What a group of objects is worth; None where the metric decides.
        verified_labels: Whether only detections of verified classes count.
        expanded: Whether boxes and labels stand for the classes above and below too.
    """

    metric: Metric
    max_detections: int | None
    group_of_weight: float | None
    verified_labels: bool
    expanded: bool


@dataclass(frozen=True)
class EvaluateReport:
    """What an evaluation found.

    Args:
        evaluated: The figures of each class.
        classes: The evaluated classes.
        images: Images with annotations.
        protocol: What was asked for.
        conditions: What the figures depend on.
    """

    evaluated: Evaluated
    classes: EvaluatedClasses
    images: int
    protocol: Protocol
    conditions: Conditions

    @property
    def metrics(self) -> DetectionMetrics:
        """The figures of each class, with all classes competing."""
        return self.evaluated.metrics

    @property
    def vocabulary(self) -> Vocabulary:
        """The evaluated classes."""
        return self.classes.vocabulary

    @property
    def groups(self) -> tuple[str, ...]:
        """``seen``, ``other`` or ``novel`` for each class, or ``unknown``."""
        return self.classes.groups

    @property
    def counts(self) -> Mapping[str, ClassCounts]:
        """What is annotated of each class."""
        return self.evaluated.counts

    @property
    def judgements(self) -> Mapping[str, Judgement]:
        """The judged detections of the classes to be plotted."""
        return self.evaluated.judgements

    def by_group(self) -> list[GroupSummary]:
        """Return the means of each group of classes, and last those of all classes."""
        return [self._summary(*part) for part in self.classes.members.items()]

    def joint(self) -> list[JointSummary]:
        """Return the joint evaluation beside that of each group alone; empty without one."""
        alone = self.evaluated.alone
        if alone is None:
            return []
        members = {group: self.classes.members[group] for group in ("seen", "novel")}
        rows = [
            JointSummary(
                group,
                JointFigures(*(m.mean_average_precision(ids) for m in (self.metrics, alone))),
                JointFigures(*(m.mean_recall(ids) for m in (self.metrics, alone))),
            )
            for group, ids in members.items()
        ]
        mean = JointSummary(
            "harmonic_mean",
            _harmonic_mean(*(row.AP50 for row in rows)),
            _harmonic_mean(*(row.mean_recall for row in rows)),
        )
        return [*rows, mean]

    def _summary(self, group: str, class_ids: Sequence[str]) -> GroupSummary:
        counts, coco = self.metrics.num_ground_truth, self.evaluated.coco
        return GroupSummary(
            group,
            classes=len(class_ids),
            with_ground_truth=sum(counts[class_id] > 0 for class_id in class_ids),
            AP50=self.metrics.mean_average_precision(class_ids),
            mean_recall=self.metrics.mean_recall(class_ids),
            AP50_interval=self.metrics.average_precision_interval(class_ids),
            mean_recall_interval=self.metrics.recall_interval(class_ids),
            recall_at={recall.k: recall.of(class_ids) for recall in self.evaluated.recalls},
            coco=mean_figures(coco[class_id] for class_id in class_ids) if coco else None,
        )


_PER_CLASS_COLUMNS = (
    "LabelName", "DisplayName", "Group", "AP50", "Recall", "GroundTruth", "Detections",
    "TruePositives", "Images", "Boxes", "GroupOf",
)  # fmt: skip


def write_per_class(report: EvaluateReport, path: Path) -> None:
    """Write one CSV row a class: id, name, group, AP50, recall, counts; under ``coco`` also AP."""
    metrics, coco = report.metrics, report.evaluated.coco
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_PER_CLASS_COLUMNS, *["AP"] * bool(coco)])
        for class_id, name, group in zip(
            report.vocabulary.ids, report.vocabulary.names, report.groups, strict=True
        ):
            figures = (metrics.average_precision[class_id], metrics.recall[class_id])
            counts = (
                metrics.num_ground_truth[class_id],
                metrics.num_detections[class_id],
                metrics.num_true_positives[class_id],
                *astuple(report.counts[class_id]),
            )
            shown = map(_cell, figures)
            more = [_cell(coco[class_id].AP)] if coco else []
            writer.writerow([class_id, name, group, *shown, *counts, *more])


def _cell(figure: float) -> str:
    return "" if math.isnan(figure) else repr(figure)


def _harmonic_mean(seen: JointFigures, novel: JointFigures) -> JointFigures:
    def mean(a: float, b: float) -> float:
        return 0.0 if a + b == 0 else 2 * a * b / (a + b)

    return JointFigures(mean(seen.joint, novel.joint), mean(seen.alone, novel.alone))
