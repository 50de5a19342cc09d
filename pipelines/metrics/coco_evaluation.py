"""``coco``: judge a stream of detections class by class as COCO does.

Shapes: n detections, m ground-truth boxes, I images.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from pipelines.data.annotations import Annotations, ImageLabelTable
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, IntArray
from pipelines.metrics.coco import (
    CocoFigures,
    coco_class_figures,
    is_object,
    require_faster_coco_eval,
)
from pipelines.metrics.competition import Competition
from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.metrics.evaluation import Evaluated, count_annotations
from pipelines.metrics.intake import DetectionIntake
from pipelines.metrics.joining import Detections, Evaluation, Floats, GroundTruth
from pipelines.metrics.rules import Admission


class CocoAdmission(Admission):
    """Every annotated image and every detection counts; verified labels limit it as in LVIS."""

    def image_ids(self, annotations: Annotations) -> Sequence[str]:
        """Return all annotated images."""
        return annotations.image_ids

    def verifies(self, labels: ImageLabelTable) -> BoolArray:
        """Every verified label counts, whether the class is present or absent."""
        return np.ones(len(labels), np.bool_)

    def is_valid(self, boxes: Floats) -> BoolArray:
        """A detection without area is wrong, not dropped."""
        return np.ones(len(boxes), np.bool_)


def evaluate_coco(
    annotations: Annotations,
    blocks: Iterable[PredictionTable],
    class_ids: Sequence[str],
    sizes_of: Callable[[Sequence[str]], IntArray],
    detections_per_image: int | None = None,
) -> Evaluated:
    """Score predictions that need not fit in memory.

    COCO counts up to 100 detections of one class in one image. The usual limit of 100 detections of
    all classes in an image is another one, and stricter.

    Args:
        annotations: The ground truth.
        blocks: The detections; those in other images or of other classes are ignored.
        class_ids: The classes to evaluate.
        sizes_of: Returns height and width ``[I, 2]`` in pixels; called when all detections are
            known.
        detections_per_image: Judge so many of the best of each image, of all classes; None leaves
            it at COCO's own limit.

    Returns:
        The figures of each class; average precision and recall are those at an IoU of .50.

    Raises:
        ConfigError: If faster-coco-eval is not installed.
    """
    require_faster_coco_eval()
    evaluation = Evaluation(annotations.image_ids, class_ids)
    truth = evaluation.ground_truth(annotations.boxes)
    everyone = np.ones(len(class_ids), np.bool_)
    competition = Competition(everyone, detections_per_image, len(annotations.image_ids))
    figures, objects, num_detections = {}, {}, {}
    with closing(DetectionIntake(CocoAdmission(), evaluation, truth, annotations)) as intake:
        intake.take(blocks, [competition])
        scale = sizes_of(annotations.image_ids)[:, [1, 0, 1, 0]]
        for label, of_class in enumerate(truth.by_class(len(class_ids))):
            found, row = intake.of_class(label)
            if competition.is_full:
                found = found.select(competition.admits(found, row))
            class_id = class_ids[label]
            figures[class_id], objects[class_id] = _judge(of_class, found, scale)
            num_detections[class_id] = len(found.image)
    counts = count_annotations(truth, class_ids)
    metrics = _metrics(figures, objects, num_detections)
    return Evaluated(metrics, counts, intake.counts, coco=figures)


def _judge(truth: GroundTruth, found: Detections, scale: IntArray) -> tuple[CocoFigures, float]:
    """Judge one class, and count its objects to find.

    ``scale`` ``[I, 4]`` turns fractions of an image into pixels.
    """
    boxes = truth.boxes * scale[truth.image]
    width, height = (boxes[:, 2:] - boxes[:, :2]).T
    area = width * height if truth.area is None else truth.area
    detected = replace(found, boxes=found.boxes * scale[found.image])
    figures = coco_class_figures(replace(truth, boxes=boxes), area, detected)
    return figures, float(is_object(truth, area).sum())


def _metrics(
    figures: dict[str, CocoFigures], objects: dict[str, float], num_detections: dict[str, int]
) -> DetectionMetrics:
    return DetectionMetrics(
        "coco",
        average_precision={name: of_class.AP50 for name, of_class in figures.items()},
        recall={name: of_class.R50 for name, of_class in figures.items()},
        num_ground_truth=objects,
        num_detections=num_detections,
        num_true_positives={
            name: round(of_class.R50 * objects[name]) if objects[name] else 0
            for name, of_class in figures.items()
        },
    )
