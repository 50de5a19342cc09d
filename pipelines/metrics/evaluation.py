"""Judge a stream of detections class by class.

Shapes: m ground-truth boxes, I images, K classes.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.bootstrap import draw_samples
from pipelines.metrics.coco import CocoFigures
from pipelines.metrics.competition import Competition, Competitions
from pipelines.metrics.detection_metrics import DetectionMetrics, Tally
from pipelines.metrics.intake import DetectionIntake, IntakeCounts
from pipelines.metrics.joining import Detections, Evaluation, GroundTruth
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.recall import RecallAt, RecallCounts
from pipelines.metrics.rules import Rules
from pipelines.metrics.score_counts import ScoreCounts
from pipelines.vocabulary import Vocabulary

_PLOTTED_CLASSES = 8  # as many as a key of curves can name


@dataclass(frozen=True)
class Protocol:
    """What an evaluation asks for.

    Args:
        detections_per_image: Judge so many of the best of each image; None judges all.
        joint: Judge twice: with all classes competing for the places of an image, and with each
            group of classes on its own.
        recall_at: The k of each AR@k.
        bootstrap: Samples of the images, for confidence intervals: at least 2, or 0 for none.
        seed: Of the samples.
        plotted: Classes whose judged detections are kept for their curves; empty chooses the eight
            with the most boxes, and None keeps nothing and counts no scores.

    Raises:
        ConfigError: If there is a single sample.
    """

    detections_per_image: int | None = None
    joint: bool = False
    recall_at: tuple[int, ...] = ()
    bootstrap: int = 0
    seed: int = 0
    plotted: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.bootstrap < 0 or self.bootstrap == 1:
            raise ConfigError(
                f"{self.bootstrap} bootstrap samples have no standard error",
                mend="Draw at least 2, better 1000; 0 draws none.",
            )


PLAIN = Protocol()


@dataclass(frozen=True)
class ClassCounts:
    """What is annotated of a class in the evaluated images.

    Args:
        images: With a box of the class.
        boxes: All of them.
        group_of: Those of them that hold a group.
    """

    images: int
    boxes: int
    group_of: int


@dataclass(frozen=True)
class Evaluated:
    """The figures of an evaluation.

    Args:
        metrics: With all classes competing.
        counts: By class id.
        detections: Where they went before any was judged.
        contested_images: Those with more detections than places.
        alone: With each group of classes on its own, where it was asked for.
        recalls: One for each k that was asked for.
        judgements: By class id, of the classes to be plotted.
        scores: Of right and wrong detections of all classes, where there is something to plot.
        coco: By class id, under the metric ``coco``.
    """

    metrics: DetectionMetrics
    counts: Mapping[str, ClassCounts]
    detections: IntakeCounts
    contested_images: int = 0
    alone: DetectionMetrics | None = None
    recalls: tuple[RecallAt, ...] = ()
    judgements: Mapping[str, Judgement] = field(default_factory=dict)
    scores: ScoreCounts | None = None
    coco: Mapping[str, CocoFigures] = field(default_factory=dict)


def evaluate_blocks(
    rules: Rules,
    annotations: Annotations,
    blocks: Iterable[PredictionTable],
    class_ids: Sequence[str],
    protocol: Protocol = PLAIN,
    groups: Sequence[str] = (),
) -> Evaluated:
    """Score predictions that need not fit in memory.

    Args:
        rules: Of the metric.
        annotations: The ground truth, expanded along the hierarchy where there is one.
        blocks: The detections; those in other images or of other classes are ignored.
        class_ids: The K classes to evaluate.
        protocol: What is asked for.
        groups: ``[K]``, the group of each class, for a joint evaluation.
    """
    evaluation = Evaluation(rules.image_ids(annotations), class_ids)
    truth = evaluation.ground_truth(annotations.boxes)
    competitions = Competitions.of(
        len(evaluation.image_ids),
        len(class_ids),
        limit=protocol.detections_per_image,
        recall_at=protocol.recall_at,
        groups=groups if protocol.joint else (),
    )
    with closing(DetectionIntake(rules, evaluation, truth, annotations)) as intake:
        intake.take(blocks, competitions.distinct)
        counts = count_annotations(truth, class_ids)
        judges = _Judges(rules, evaluation, competitions, protocol, _plotted(protocol, counts))
        for label, of_class in enumerate(truth.by_class(len(class_ids))):
            judges.judge(label, of_class, *intake.of_class(label))
    return judges.finish(counts, intake.counts)


def evaluate_table(
    rules: Rules,
    boxes: BoxTable,
    labels: ImageLabelTable | None,
    predictions: PredictionTable,
    class_ids: Sequence[str],
) -> DetectionMetrics:
    """Score predictions in memory; the arguments are those of :func:`evaluate_blocks`."""
    image_ids = sorted({*boxes.image_ids, *(labels.image_ids if labels is not None else ())})
    vocabulary = Vocabulary(boxes.class_ids, boxes.class_ids)
    unknown = np.zeros((len(image_ids), 2), np.int32)
    annotations = Annotations(image_ids, boxes, labels, vocabulary, unknown)
    return evaluate_blocks(rules, annotations, [predictions], class_ids).metrics


class _Judges:
    """One judge for each way in which classes compete.

    Args:
        rules: Of the metric.
        evaluation: The images and classes that count.
        competitions: Decided, now that all detections are known.
        protocol: What is asked for.
        plotted: Classes whose judgements are kept.
    """

    def __init__(
        self,
        rules: Rules,
        evaluation: Evaluation,
        competitions: Competitions,
        protocol: Protocol,
        plotted: frozenset[str],
    ) -> None:
        self._rules, self._class_ids = rules, evaluation.class_ids
        self._competitions, self._protocol = competitions, protocol
        self._judge = rules.judge_for(evaluation.image_ids)
        self._samples = None
        if protocol.bootstrap:
            num_images = len(evaluation.image_ids)
            self._samples = draw_samples(protocol.bootstrap, num_images, protocol.seed)
        self._together = Tally(rules.name, rules.recall_without_detections, self._samples)
        self._alone = Tally(rules.name, rules.recall_without_detections)
        self._at: dict[int, dict[str, RecallCounts]] = {k: {} for k in competitions.at}
        self._plotted = plotted
        self._judgements: dict[str, Judgement] = {}
        self._scores = None if protocol.plotted is None else ScoreCounts()

    def judge(self, label: int, truth: GroundTruth, found: Detections, row: IntArray) -> None:
        """Judge one class in every way; ``row`` counts the detections as they came."""
        class_id = self._class_ids[label]
        judged = self._judged(self._competitions.together, truth, found, row)
        self._together.add(class_id, judged)
        if class_id in self._plotted:
            self._judgements[class_id] = judged
        if self._scores is not None:
            self._scores.add(judged)
        if self._protocol.joint:
            own = self._competitions.alone[label]
            self._alone.add(class_id, self._judged(own, truth, found, row))
        worth = self._rules.worth(truth)
        for k, competition in self._competitions.at.items():
            best = self._judged(competition, truth, found, row)
            counts = RecallCounts.of(best, truth.image, worth, self._samples)
            self._at[k][class_id] = counts

    def finish(self, counts: Mapping[str, ClassCounts], detections: IntakeCounts) -> Evaluated:
        """Return the figures of all classes."""
        return Evaluated(
            self._together.finish(),
            counts,
            detections,
            self._competitions.together.num_full,
            self._alone.finish() if self._protocol.joint else None,
            tuple(RecallAt(k, by_class) for k, by_class in self._at.items()),
            self._judgements,
            self._scores,
        )

    def _judged(
        self, competition: Competition, truth: GroundTruth, found: Detections, row: IntArray
    ) -> Judgement:
        if competition.is_full:
            found = found.select(competition.admits(found, row))
        return self._judge(truth, found, competition.has_detections)


def _plotted(protocol: Protocol, counts: Mapping[str, ClassCounts]) -> frozenset[str]:
    if protocol.plotted is None:
        return frozenset()
    by_boxes = sorted(counts, key=lambda class_id: -counts[class_id].boxes)
    return frozenset(protocol.plotted or by_boxes[:_PLOTTED_CLASSES])


def count_annotations(truth: GroundTruth, class_ids: Sequence[str]) -> dict[str, ClassCounts]:
    """Count what is annotated of each class, given the boxes by class, and by image within it."""
    num_classes = len(class_ids)
    is_new = np.append(True, (np.diff(truth.label) != 0) | (np.diff(truth.image) != 0))
    columns = (
        np.bincount(truth.label[rows], minlength=num_classes)
        for rows in (is_new[: len(truth.label)], slice(None), truth.group_of)
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {name: ClassCounts(*row) for name, row in zip(class_ids, rows, strict=True)}
