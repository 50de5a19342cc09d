"""The evaluation of a detector while it trains: on images of its own, without leaving a trace.

Shapes: C classifier classes, D detection classes.
"""

import copy
from collections.abc import Sequence
from typing import Self

from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.config import EvaluationSettings, TrainSettings
from pipelines.distributed import ALONE, Team
from pipelines.errors import ConfigError, did_you_mean
from pipelines.metrics.detector_evaluation import AnnotatedImages, Detecting, evaluate_model
from pipelines.metrics.evaluation_passes import figures_of, plan_passes
from pipelines.metrics.ground_truth import GroundTruthFiles, first_images
from pipelines.models.borrowed_model import detecting_with, untouched_random_state
from pipelines.models.offline import head_classes, head_of
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD
from pipelines.vocabulary import ClassPartition, Vocabulary


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
        annotations, metric = self._images.annotations, settings.evaluation.metric
        self._passes = plan_passes(vocabulary, groups, annotations, metric)
        self.names = tuple(name for each in self._passes for name in each.names)
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

    def on_first(self, images: int) -> "PeriodicEvaluation":
        """Return the same evaluation of fewer images, to see what it costs."""
        fewer = copy.copy(self)
        annotations = first_images(self._images.annotations, images)
        fewer._images = AnnotatedImages(annotations, self._images.store)
        return fewer

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
            for each in self._passes:
                with detecting_with(model, head.subset(each.rows)):
                    report = evaluate_model(
                        model, each.classes, self._images, each.scoring, detecting
                    )
                figures |= figures_of(report)
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


def _refuse_unknown_best(wanted: str | None, names: Sequence[str]) -> None:
    if wanted is not None and wanted not in names:
        nearest = did_you_mean(wanted, names)
        raise ConfigError(
            f"checkpoints.keep_best: the evaluation has no figure {wanted!r}",
            mend=" ".join(filter(None, [nearest, f"It has: {', '.join(names)}."])),
        )
