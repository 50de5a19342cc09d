"""How a detector in training goes through the images that it is evaluated on, and what comes of it.

Each group of classes that has boxes is looked for and judged alone.
"""

from collections.abc import Iterator, Sequence, Set
from typing import NamedTuple

import numpy as np

from pipelines.config import Metric
from pipelines.data.annotations import Annotations
from pipelines.errors import MismatchError
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.groups import GROUP_ORDER, EvaluatedClasses, classes_of_head
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.vocabulary import Vocabulary


class Pass(NamedTuple):
    """Once through all images.

    Args:
        rows: Of the head, that are looked for.
        classes: In these rows.
        scoring: How they are judged.
        names: Of the figures that come of it, for the groups that have boxes.
    """

    rows: list[int]
    classes: EvaluatedClasses
    scoring: Scoring
    names: tuple[str, ...]


def plan_passes(
    vocabulary: Vocabulary, groups: Sequence[str], annotations: Annotations, metric: Metric
) -> list[Pass]:
    """Return one pass in which each group has places of its own; ``coco`` takes one a group.

    Args:
        vocabulary: The classes of the head.
        groups: Of each of them.
        annotations: Of the images.
        metric: That judges.

    Raises:
        MismatchError: If none of the classes has a box.
    """
    boxes = annotations.boxes
    boxed = {boxes.class_ids[label] for label in np.unique(boxes.label).tolist()}
    pairs = zip(vocabulary.ids, groups, strict=True)
    present = {group for class_id, group in pairs if class_id in boxed}
    if not present:
        raise MismatchError(
            f"none of the {len(boxed)} classes with boxes in the evaluated images is among the "
            f"{len(vocabulary)} of the detector: {min(boxed)!r} against {vocabulary.ids[0]!r}",
            where=boxes.origin,
            mend="Classes are joined by id; evaluate on other boxes, or on more images.",
        )
    known = [group for group in GROUP_ORDER if group in present]
    together = [known] if metric != "coco" else [[group] for group in known]
    passes = []
    for chosen in together:
        rows = [row for row, group in enumerate(groups) if group in chosen]
        classes = classes_of_head(vocabulary, groups, rows, annotations)
        scoring = Scoring(metric, protocol=Protocol(joint=len(chosen) > 1))
        passes.append(Pass(rows, classes, scoring, tuple(_names(classes, boxed, metric))))
    return passes


def figures_of(report: EvaluateReport) -> dict[str, float]:
    """Return all figures by name: ``<group>_AP50``, and under ``coco`` also ``<group>_AP``."""
    alone = report.evaluated.alone or report.metrics
    groups = _groups(report.classes).items()
    figures = {f"{group}_AP50": alone.mean_average_precision(ids) for group, ids in groups}
    of_coco = {f"{row.group}_AP": row.coco.AP for row in report.by_group()[:-1] if row.coco}
    return figures | of_coco


def _names(classes: EvaluatedClasses, boxed: Set[str], metric: Metric) -> Iterator[str]:
    for group, ids in _groups(classes).items():
        if not boxed.isdisjoint(ids):
            yield f"{group}_AP50"
            if metric == "coco":
                yield f"{group}_AP"


def _groups(classes: EvaluatedClasses) -> dict[str, tuple[str, ...]]:
    """Return the class ids of each group, without that of all classes."""
    return {group: ids for group, ids in classes.members.items() if group != "all"}
