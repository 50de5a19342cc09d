"""The evaluation of a detector while it trains: on images of its own, without leaving a trace.

Shapes: C classifier classes, D detection classes.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.config import EvaluationSettings, TrainSettings
from pipelines.data.annotations import Annotations
from pipelines.distributed import ALONE, Team
from pipelines.errors import ConfigError, MismatchError, did_you_mean
from pipelines.metrics.detector_evaluation import AnnotatedImages, Detecting, evaluate_model
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.ground_truth import GroundTruthFiles, first_images
from pipelines.metrics.groups import GROUP_ORDER, EvaluatedClasses, classes_of_head
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.models.borrowed_model import detecting_with, untouched_random_state
from pipelines.models.offline import head_classes, head_of
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD
from pipelines.vocabulary import ClassPartition, Vocabulary


class _Pass(NamedTuple):
    """Once through all images.

    Args:
        rows: Of the head, that are looked for.
        classes: In these rows.
        scoring: How they are judged.
    """

    rows: list[int]
    classes: EvaluatedClasses
    scoring: Scoring


class PeriodicEvaluation:
    """Measures a model in training, as ``wtn evaluate`` would measure its checkpoint.

    Each group of classes that has boxes is looked for and judged alone, as the paper does:
    ``novel_AP50`` is the figure of ``wtn evaluate --classes novel``, in the precision of training.

    Args:
        settings: Of the training; its evaluation has boxes.
        classifier: The C classes and their rows.
        detection: The D classes of training.
        team: The processes that share the images; all of them get the figures.

    Attributes:
        names: Of the figures: ``<group>_AP50``, fractions of 1, for the groups of classes that have
            boxes; under the metric ``coco`` also ``<group>_AP``.

    Raises:
        ConfigError: If the best checkpoint is to be chosen by another figure.
        WTNError: If files are bad, or belong to other classes or images.
    """

    def __init__(
        self,
        settings: TrainSettings,
        classifier: ClassifierWeights,
        detection: Vocabulary,
        team: Team = ALONE,
    ) -> None:
        self._team = team
        self._settings, self._classifier, self._detection = settings, classifier, detection
        self._images = _read(settings.evaluation)
        partition = ClassPartition.of(classifier.vocabulary, detection)
        vocabulary = head_classes(classifier.vocabulary, detection, partition)
        groups = [partition.group_of(class_id) for class_id in vocabulary.ids]
        boxed = _classes_with_boxes(self._images.annotations)
        self._passes = _plan(vocabulary, groups, boxed, self._images, settings.evaluation)
        self.names = tuple(_names(self._passes, boxed))
        _refuse_unknown_best(settings.checkpoints.keep_best, self.names)

    @classmethod
    def wanted(
        cls,
        settings: TrainSettings,
        classifier: ClassifierWeights,
        detection: Vocabulary,
        team: Team = ALONE,
    ) -> Self | None:
        """Return the evaluation that the settings ask for, or None; arguments as of the class."""
        if settings.evaluation.every is None:
            return None
        return cls(settings, classifier, detection, team)

    @property
    def num_images(self) -> int:
        """How many images each evaluation goes through."""
        return len(self._images.annotations.image_ids)

    def __call__(self, model: GeneralizedRCNN) -> dict[str, float]:
        """Return the figures by name; NaN where there is nothing but groups to find.

        Nothing of the model changes, nor the random generators.
        """
        device = next(model.parameters()).device
        precision = self._settings.engine.precision
        detecting = Detecting(device, precision=precision, team=self._team)
        figures: dict[str, float] = {}
        with untouched_random_state(device):
            head = self._head(model)
            for rows, classes, scoring in self._passes:
                with detecting_with(model, head.subset(rows)):
                    report = evaluate_model(model, classes, self._images, scoring, detecting)
                figures |= _figures(report)
        return {name: figures[name] for name in self.names}

    def _head(self, model: GeneralizedRCNN) -> DetectionHead:
        """Return the rows of all classes, as an export would compute them."""
        state = {
            name: tensor.cpu()
            for name, tensor in model.state_dict().items()
            if name.startswith((CLASS_HEAD, BOX_LAYER))
        }
        config = self._settings.model_dump(mode="json", exclude_none=True)
        trained = DetectorCheckpoint(state, self._classifier, self._detection, config, iteration=0)
        return head_of(trained, self._classifier)


def _read(settings: EvaluationSettings) -> AnnotatedImages:
    assert settings.boxes is not None  # the settings see to it
    truth = GroundTruthFiles(settings.boxes, settings.image_labels, settings.hierarchy)
    annotations = truth.load()
    if settings.max_images is not None:
        annotations = first_images(annotations, settings.max_images)
    return AnnotatedImages(annotations, truth.images(settings.images, "evaluation.images"))


def _classes_with_boxes(annotations: Annotations) -> frozenset[str]:
    boxes = annotations.boxes
    return frozenset(boxes.class_ids[label] for label in np.unique(boxes.label).tolist())


def _plan(
    vocabulary: Vocabulary,
    groups: Sequence[str],
    boxed: frozenset[str],
    images: AnnotatedImages,
    settings: EvaluationSettings,
) -> list[_Pass]:
    """Return one pass in which each group has places of its own; ``coco`` takes one a group."""
    pairs = zip(vocabulary.ids, groups, strict=True)
    present = {group for class_id, group in pairs if class_id in boxed}
    if not present:
        raise MismatchError(
            f"none of the {len(boxed)} classes with boxes in the evaluated images is among the "
            f"{len(vocabulary)} of the detector: {min(boxed)!r} against {vocabulary.ids[0]!r}",
            where=images.annotations.boxes.origin,
            mend="Classes are joined by id; evaluate on other boxes, or on more images.",
        )
    known = [group for group in GROUP_ORDER if group in present]
    together = [known] if settings.metric != "coco" else [[group] for group in known]
    passes = []
    for chosen in together:
        rows = [row for row, group in enumerate(groups) if group in chosen]
        classes = classes_of_head(vocabulary, groups, rows, images.annotations)
        protocol = Protocol(joint=len(chosen) > 1)
        passes.append(_Pass(rows, classes, Scoring(settings.metric, protocol=protocol)))
    return passes


def _names(passes: Sequence[_Pass], boxed: frozenset[str]) -> Iterator[str]:
    for _, classes, scoring in passes:
        for group, ids in _groups(classes):
            if not boxed.isdisjoint(ids):
                yield f"{group}_AP50"
                yield from [f"{group}_AP"] * (scoring.metric == "coco")


def _figures(report: EvaluateReport) -> dict[str, float]:
    alone = report.evaluated.alone or report.metrics
    figures = {
        f"{group}_AP50": alone.mean_average_precision(ids) for group, ids in _groups(report.classes)
    }
    of_coco = {f"{row.group}_AP": row.coco.AP for row in report.by_group()[:-1] if row.coco}
    return figures | of_coco


def _groups(classes: EvaluatedClasses) -> list[tuple[str, tuple[str, ...]]]:
    """Return the groups and their class ids, without that of all classes."""
    return [(group, ids) for group, ids in classes.members.items() if group != "all"]


def _refuse_unknown_best(wanted: str | None, names: Sequence[str]) -> None:
    if wanted is not None and wanted not in names:
        nearest = did_you_mean(wanted, names)
        raise ConfigError(
            f"checkpoints.keep_best: the evaluation has no figure {wanted!r}",
            mend=" ".join(filter(None, [nearest, f"It has: {', '.join(names)}."])),
        )
