"""Score a stream of detections by the metric that was asked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from pipelines.config import Metric
from pipelines.data.annotations import Annotations
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.coco import require_faster_coco_eval
from pipelines.metrics.coco_evaluation import evaluate_coco
from pipelines.metrics.evaluation import PLAIN, Protocol, evaluate_blocks
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.release import ReleaseRules
from pipelines.metrics.report import Conditions, EvaluateReport


@dataclass(frozen=True)
class Scoring:
    """What to score, and how.

    Args:
        metric: ``oid`` (Open Images challenge), ``aewtn-release`` (the release's variant) or
            ``coco``.
        classes: A class file, or a group of a head's classes; by default all that a head has, or
            all that have boxes.
        group_of_weight: What a group of objects is worth (``oid``).
        protocol: How many detections of an image count, and what else is asked for.

    Raises:
        ConfigError: If ``coco`` is asked for what it cannot tell, or is not installed.
    """

    metric: Metric = "oid"
    classes: str | None = None
    group_of_weight: float = 1.0
    protocol: Protocol = PLAIN

    def __post_init__(self) -> None:
        if self.metric == "coco":
            require_faster_coco_eval()
            _refuse_unjudged(self.protocol)

    def report(
        self,
        annotations: Annotations,
        blocks: Iterable[PredictionTable],
        classes: EvaluatedClasses,
        sizes_of: Callable[[Sequence[str]], IntArray],
    ) -> EvaluateReport:
        """Judge the detections.

        Args:
            annotations: The ground truth, expanded along the hierarchy where there is one.
            blocks: The detections, a block at a time.
            classes: Those that are evaluated.
            sizes_of: Returns height and width ``[I, 2]`` of images in pixels; called when all
                detections are known, and not for ``oid``.
        """
        protocol, ids = self.protocol, classes.vocabulary.ids
        if protocol.plotted:
            protocol = replace(protocol, plotted=classes.ids_of(protocol.plotted))
        if self.metric == "coco":
            limit = protocol.detections_per_image
            found = evaluate_coco(annotations, blocks, ids, sizes_of, limit)
        else:
            is_oid = self.metric == "oid"
            rules = OpenImagesRules(self.group_of_weight) if is_oid else ReleaseRules(sizes_of)
            found = evaluate_blocks(rules, annotations, blocks, ids, protocol, classes.groups)
        conditions = Conditions(
            self.metric,
            protocol.detections_per_image,
            self.group_of_weight if self.metric == "oid" else None,
            verified_labels=annotations.labels is not None,
            expanded=annotations.expanded,
        )
        return EvaluateReport(found, classes, len(annotations.image_ids), protocol, conditions)


PLAIN_SCORING = Scoring()


def _refuse_unjudged(protocol: Protocol) -> None:
    """Refuse what needs every detection judged right or wrong, which COCO does not tell."""
    plotted = protocol.plotted is not None
    if protocol.joint or protocol.recall_at or protocol.bootstrap or plotted:
        raise ConfigError(
            "the metric coco has no joint evaluation, AR@K, bootstrap or plots",
            mend="Ask for them with --metric oid; coco reports its own AR1, AR10 and AR100.",
        )
