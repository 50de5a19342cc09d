"""What a metric decides for itself: which images and classes count, and which detection is right.

Shapes: n detections, m ground-truth boxes, I images.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from pipelines.data.annotations import Annotations, ImageLabelTable
from pipelines.data.tables import BoolArray, FloatArray
from pipelines.metrics.joining import Detections, Floats, GroundTruth
from pipelines.metrics.judgement import Judgement

ClassJudge: TypeAlias = Callable[[GroundTruth, Detections, BoolArray], Judgement]
"""Judge the detections of one class, given in their order of arrival.

The boxes come by image. The last argument is ``[I]``, whether an image has any detection that
competed with these.
"""


class Admission(ABC):
    """What counts at all, before anything is judged."""

    @abstractmethod
    def image_ids(self, annotations: Annotations) -> Sequence[str]:
        """Return the images that count, in the order in which they are gone through."""

    @abstractmethod
    def verifies(self, labels: ImageLabelTable) -> BoolArray:
        """Return ``[n]``: which image-level labels make detections of their class count."""

    @abstractmethod
    def is_valid(self, boxes: Floats) -> BoolArray:
        """Return ``[n]``: which boxes ``[n, 4]`` can be detections at all."""


class Rules(Admission):
    """The rules of a metric that judges every detection right or wrong.

    Attributes:
        name: Of the metric.
        recall_without_detections: The recall of a class that has ground truth and no detection; NaN
            leaves it out of the mean.
    """

    name: ClassVar[str]
    recall_without_detections: ClassVar[float]

    @abstractmethod
    def worth(self, truth: GroundTruth) -> FloatArray:
        """Return ``[m]``: what each box adds to what there is to find."""

    @abstractmethod
    def judge_for(self, image_ids: Sequence[str]) -> ClassJudge:
        """Return the judge of one class, for these images; called when all detections are known."""
