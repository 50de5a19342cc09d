"""Score a stream of detections by the metric that was asked for."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pipelines.config import Metric
from pipelines.data.annotations import Annotations
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.coco import require_faster_coco_eval
from pipelines.metrics.coco_evaluation import evaluate_coco
from pipelines.metrics.evaluation import Evaluated, Protocol, evaluate_blocks
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.open_images import OpenImagesRules
from pipelines.metrics.release import ReleaseRules
from pipelines.metrics.report import EvaluateReport


@dataclass(frozen=True)
class Scorer:
    """A metric, and what it needs to know besides annotations and detections.

    Args:
        metric: By name.
        group_of_weight: What a group of objects is worth (``oid``).
        sizes_of: Returns height and width ``[I, 2]`` of images in pixels; called when all
            detections are known, and not for ``oid``.
    """

    metric: Metric
    group_of_weight: float
    sizes_of: Callable[[Sequence[str]], IntArray]

    def report(
        self,
        annotations: Annotations,
        blocks: Iterable[PredictionTable],
        classes: EvaluatedClasses,
        protocol: Protocol,
    ) -> EvaluateReport:
        """Judge the detections."""
        found = self._evaluate(annotations, blocks, classes, protocol)
        return EvaluateReport(found, classes, len(annotations.image_ids), protocol)

    def _evaluate(
        self,
        annotations: Annotations,
        blocks: Iterable[PredictionTable],
        classes: EvaluatedClasses,
        protocol: Protocol,
    ) -> Evaluated:
        ids = classes.vocabulary.ids
        if self.metric == "coco":
            limit = protocol.detections_per_image
            return evaluate_coco(annotations, blocks, ids, self.sizes_of, limit)
        is_oid = self.metric == "oid"
        rules = OpenImagesRules(self.group_of_weight) if is_oid else ReleaseRules(self.sizes_of)
        return evaluate_blocks(rules, annotations, blocks, ids, protocol, classes.groups)


def refuse_unjudged(metric: Metric, protocol: Protocol) -> None:
    """Raise ConfigError for what needs every detection judged, which COCO does not tell."""
    if metric != "coco":
        return
    require_faster_coco_eval()
    if protocol.joint or protocol.recall_at or protocol.bootstrap or protocol.keep_judgements:
        raise ConfigError(
            "the metric coco has no joint evaluation, AR@K, bootstrap or plots",
            mend="Ask for them with --metric oid; coco reports its own AR1, AR10 and AR100.",
        )
