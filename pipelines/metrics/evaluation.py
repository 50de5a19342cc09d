"""Judge a stream of detections class by class.

Shapes: m ground-truth boxes, I images, K classes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field

import numpy as np

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.metrics.bootstrap import draw_samples
from pipelines.metrics.competition import Competition
from pipelines.metrics.detection_metrics import DetectionMetrics, Tally
from pipelines.metrics.intake import DetectionIntake
from pipelines.metrics.joining import Detections, Evaluation, GroundTruth
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.recall import RecallAt, RecallCounts
from pipelines.metrics.rules import Rules
from pipelines.vocabulary import Vocabulary


@dataclass(frozen=True)
class Protocol:
    """What an evaluation asks for.

    Args:
        detections_per_image: Judge so many of the best of each image; None judges all.
        joint: Judge twice: with all classes competing for the places of an image, and with each
            group of classes on its own.
        recall_at: The k of each AR@k.
        bootstrap: Samples of the images, for confidence intervals.
        seed: Of the samples.
        keep_judgements: Keep every judged detection in memory.
    """

    detections_per_image: int | None = None
    joint: bool = False
    recall_at: tuple[int, ...] = ()
    bootstrap: int = 0
    seed: int = 0
    keep_judgements: bool = False


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
        alone: With each group of classes on its own, where it was asked for.
        recalls: One for each k that was asked for.
        judgements: By class id, where they were to be kept.
    """

    metrics: DetectionMetrics
    counts: Mapping[str, ClassCounts]
    alone: DetectionMetrics | None = None
    recalls: tuple[RecallAt, ...] = ()
    judgements: Mapping[str, Judgement] = field(default_factory=dict)


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
    judges = _Judges(rules, evaluation, protocol, groups)
    with closing(DetectionIntake(rules, evaluation, truth, annotations)) as intake:
        intake.take(blocks, judges.competitions)
        judges.open()
        for label, of_class in enumerate(_by_class(truth, len(class_ids))):
            judges.judge(label, of_class, *intake.of_class(label))
    return judges.finish(_count(truth, class_ids))


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
        protocol: What is asked for.
        groups: ``[K]``, the group of each class, for a joint evaluation.
    """

    def __init__(
        self, rules: Rules, evaluation: Evaluation, protocol: Protocol, groups: Sequence[str]
    ) -> None:
        self._rules, self._evaluation, self._protocol = rules, evaluation, protocol
        num_images = len(evaluation.image_ids)
        everyone = np.ones(len(evaluation.class_ids), np.bool_)
        limit = protocol.detections_per_image
        self._together = Competition(everyone, limit, num_images)
        self._at = [Competition(everyone, k, num_images) for k in protocol.recall_at]
        names = np.array(groups if protocol.joint else ())
        by_group = {name: Competition(names == name, limit, num_images) for name in names.tolist()}
        self._alone = [by_group[name] for name in names.tolist()]  # of each class
        self.competitions = [self._together, *self._at, *by_group.values()]
        self._judgements: dict[str, Judgement] = {}

    def open(self) -> None:
        """Prepare to judge, now that all detections are known."""
        protocol, rules = self._protocol, self._rules
        image_ids = self._evaluation.image_ids
        self._judge = rules.judge_for(image_ids)
        self._samples = None
        if protocol.bootstrap:
            self._samples = draw_samples(protocol.bootstrap, len(image_ids), protocol.seed)
        self._tallies = [
            Tally(rules.name, rules.recall_without_detections, self._samples) for _ in range(2)
        ]
        self._recalls: list[dict[str, RecallCounts]] = [{} for _ in self._at]

    def judge(self, label: int, truth: GroundTruth, found: Detections, row: IntArray) -> None:
        """Judge one class in every way."""
        class_id = self._evaluation.class_ids[label]
        judged = self._judged(self._together, truth, found, row)
        self._tallies[0].add(class_id, judged)
        if self._protocol.keep_judgements:
            self._judgements[class_id] = judged
        if self._alone:
            alone = self._judged(self._alone[label], truth, found, row)
            self._tallies[1].add(class_id, alone)
        worth = self._rules.worth(truth)
        for competition, counts in zip(self._at, self._recalls, strict=True):
            best = self._judged(competition, truth, found, row)
            counts[class_id] = RecallCounts.of(best, truth.image, worth, self._samples)

    def finish(self, counts: Mapping[str, ClassCounts]) -> Evaluated:
        """Return the figures of all classes."""
        recalls = zip(self._protocol.recall_at, self._recalls, strict=True)
        return Evaluated(
            self._tallies[0].finish(),
            counts,
            self._tallies[1].finish() if self._alone else None,
            tuple(RecallAt(k, by_class) for k, by_class in recalls),
            self._judgements,
        )

    def _judged(
        self, competition: Competition, truth: GroundTruth, found: Detections, row: IntArray
    ) -> Judgement:
        if competition.is_full:
            found = found.select(competition.admits(found, row))
        return self._judge(truth, found, competition.has_detections)


def _by_class(truth: GroundTruth, num_classes: int) -> Iterator[GroundTruth]:
    bounds = np.searchsorted(truth.label, np.arange(num_classes + 1))
    for label in range(num_classes):
        yield truth.select(slice(bounds[label], bounds[label + 1]))


def _count(truth: GroundTruth, class_ids: Sequence[str]) -> dict[str, ClassCounts]:
    num_classes = len(class_ids)
    is_new = np.append(True, (np.diff(truth.label) != 0) | (np.diff(truth.image) != 0))
    columns = (
        np.bincount(truth.label[rows], minlength=num_classes)
        for rows in (is_new[: len(truth.label)], slice(None), truth.group_of)
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return {name: ClassCounts(*row) for name, row in zip(class_ids, rows, strict=True)}
