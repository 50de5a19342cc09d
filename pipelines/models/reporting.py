"""Which detections of an image are reported.

Shapes: K classes, n detections of an image.
"""

from dataclasses import dataclass

from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.models.postprocess import Detections, best_labels

SAME_OBJECT = 0.5  # boxes that overlap more than this show one object, as in NMS within a class


@dataclass(frozen=True)
class ReportRules:
    """What is left out of an image's detections.

    Args:
        thresholds: ``[K]``; a class is reported above its own.
        all_labels: Report every class of an object, not only the one that scores highest.
        top_k: Report so many of the best at most; None reports all.
    """

    thresholds: Tensor
    all_labels: bool = False
    top_k: int | None = None

    def set_up(self, model: GeneralizedRCNN) -> None:
        """Let the detector find what these rules need, and no more."""
        heads = model.roi_heads
        heads.score_thresh = self.thresholds
        heads.detections_per_img = max(heads.detections_per_img, self.top_k or 0)

    def select(self, found: Detections) -> Detections:
        """Return the detections to report, by descending score."""
        if not self.all_labels:
            found = best_labels(found, SAME_OBJECT)
        return Detections(*(part[: self.top_k] for part in found))
