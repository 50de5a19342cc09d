"""``aewtn-release``: average precision and recall as the evaluator of the AE-WTN release has them.

Shapes: n detections, m ground-truth boxes, p pairs.

Follows ``evaluation/openimages/openimages_eval.py`` of the official release (xternalz/AE-WTN), with
its peculiarities, so that figures can be compared with the paper's:

* an image without any detection is left out, with its ground truth;
* a box is taken to be two pixels wider and higher than it is: one is added to its far corner, and
  one again where sizes are computed;
* a group is first matched like any box; who finds it second is wrong, not ignored;
* only absent classes, and those with a box, count as verified;
* a class without any detection is left out of the mean recall.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from pipelines.data.annotations import Annotations, BoxTable, ImageLabelTable
from pipelines.data.image_sizes import ImageSizes
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.metrics.evaluation import evaluate_table
from pipelines.metrics.joining import Detections, Floats, GroundTruth, by_image
from pipelines.metrics.judgement import Judgement
from pipelines.metrics.matching import BoxGeometry, Pairs, first_of_each
from pipelines.metrics.rules import ClassJudge, Rules

_GEOMETRY = BoxGeometry(border=1)  # on top of the one that _far_pixel adds
_GROUP_THRESHOLD = 0.5  # the share of a detection that lies in a group


@dataclass(frozen=True)
class ReleaseRules(Rules):
    """The rules of the release's evaluator.

    Args:
        sizes_of: Gives the height and width ``[I, 2]`` of images by id, when all detections are
            known.
        iou_threshold: The overlap that makes a match.
    """

    sizes_of: Callable[[Sequence[str]], IntArray]
    iou_threshold: float = 0.5

    name: ClassVar[str] = "aewtn-release"
    recall_without_detections: ClassVar[float] = float("nan")

    def image_ids(self, annotations: Annotations) -> Sequence[str]:
        """Return the images in the release's order: sorted, or as they come in the boxes."""
        boxes, labels = annotations.boxes, annotations.labels
        if labels is None:
            in_file = boxes.image[np.lexsort((boxes.rows, boxes.source))]
            with_boxes, first = np.unique(in_file, return_index=True)
            return [boxes.image_ids[image] for image in with_boxes[np.argsort(first)].tolist()]
        with_boxes = np.unique(boxes.image)
        with_absent = np.unique(labels.image[~labels.positive])
        return sorted(
            {boxes.image_ids[image] for image in with_boxes.tolist()}
            | {labels.image_ids[image] for image in with_absent.tolist()}
        )

    def verifies(self, labels: ImageLabelTable) -> BoolArray:
        """Only labels of absent classes count."""
        return ~labels.positive

    def is_valid(self, boxes: Floats) -> BoolArray:
        """No detection is dropped for its box."""
        return np.ones(len(boxes), np.bool_)

    def worth(self, truth: GroundTruth) -> FloatArray:
        """A group is one box."""
        return np.ones(len(truth.image))

    def judge_for(self, image_ids: Sequence[str]) -> ClassJudge:
        """Return the judge of a class.

        Raises:
            MismatchError: If the size of an image is not known.
        """
        sizes = self.sizes_of(image_ids)

        def judge(truth: GroundTruth, found: Detections, has_detections: BoolArray) -> Judgement:
            truth = truth.select(has_detections[truth.image])
            truth = replace(truth, boxes=_far_pixel(truth.boxes, sizes[truth.image]))
            boxes = _far_pixel(found.boxes, sizes[found.image])
            found = replace(found, boxes=boxes, score=found.score.astype(np.float32))
            return self._judge(truth, by_image(found))

        return judge

    def _judge(self, truth: GroundTruth, found: Detections) -> Judgement:
        """Judge a class: only the first that matches a box or a group is right."""
        pairs = Pairs.of(truth, found)
        match = pairs.best(_GEOMETRY.iou, self.iou_threshold)
        group = pairs.of_groups(True).best(_GEOMETRY.intersection_over_area, _GROUP_THRESHOLD)
        credit = first_of_each(np.where(match >= 0, match, group)).astype(np.float64)
        return Judgement(
            score=found.score,
            credit=credit,
            image=found.image,
            num_ground_truth=len(truth.image),
            truth_image=truth.image,
            truth_worth=self.worth(truth),
        )


def release_metric(
    boxes: BoxTable,
    labels: ImageLabelTable | None,
    predictions: PredictionTable,
    class_ids: Sequence[str],
    *,
    image_sizes: ImageSizes,
    iou_threshold: float = 0.5,
) -> DetectionMetrics:
    """Score predictions on the images that have at least one of them.

    Args:
        boxes: The annotated boxes, expanded along the hierarchy where there is one.
        labels: The verified image-level labels, expanded too; None counts every detection in an
            image that has boxes.
        predictions: The detections; those in other images are ignored.
        class_ids: The classes to evaluate.
        image_sizes: The sizes of the evaluated images.
        iou_threshold: The overlap that makes a match.

    Raises:
        MismatchError: If the size of an evaluated image is not known.
    """
    rules = ReleaseRules(image_sizes.of, iou_threshold)
    return evaluate_table(rules, boxes, labels, predictions, class_ids)


def _far_pixel(boxes: Floats, sizes: IntArray) -> NDArray[np.float32]:
    """Return boxes ``[n, 4]`` in pixels of images of ``sizes`` (height, width), far corner + 1."""
    pixels = (boxes * sizes[:, [1, 0, 1, 0]]).astype(np.float32)
    pixels[:, 2:] += 1
    return pixels
