"""Take detections in block by block, and give those that count back class by class.

Shapes: n detections, K classes.

Memory holds one block, the ground truth, and a few numbers for each image; the rest is on disk.
"""

from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from pipelines.data.annotations import Annotations
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import BoolArray, IntArray
from pipelines.metrics.competition import Competition, ImageRanking
from pipelines.metrics.joining import Detections, Evaluation, GroundTruth
from pipelines.metrics.rules import Admission
from pipelines.metrics.spool import KeyedSpool

_RECORD = np.dtype([("row", np.int64), ("image", np.int32), ("score", "f8"), ("boxes", "f8", 4)])


@dataclass
class IntakeCounts:
    """Where detections went; what is in none of the others reached the judge or found no place.

    Args:
        read: All of them.
        in_other_images: Of these, in images that are not evaluated.
        of_other_classes: In evaluated images, of classes that are not evaluated.
        without_area: Of the rest, dropped for their box.
        unverified: Of the rest, of a class that nobody verified in the image.
    """

    read: int = 0
    in_other_images: int = 0
    of_other_classes: int = 0
    without_area: int = 0
    unverified: int = 0


class DetectionIntake:
    """The detections of an evaluation.

    Args:
        admission: Decides which detections are dropped on the way in.
        evaluation: The images and classes that count.
        truth: The boxes that count.
        annotations: Where these come from.

    Attributes:
        counts: Of the detections that were taken.
    """

    def __init__(
        self,
        admission: Admission,
        evaluation: Evaluation,
        truth: GroundTruth,
        annotations: Annotations,
    ) -> None:
        self._admission, self._evaluation = admission, evaluation
        self._spool = KeyedSpool(_RECORD, len(evaluation.class_ids))
        self._rows = 0
        self.counts = IntakeCounts()
        self._verified: IntArray | None = None
        if annotations.labels is not None:
            chosen = admission.verifies(annotations.labels)
            self._verified = evaluation.verified_pairs(truth, annotations.labels, chosen)

    def take(self, blocks: Iterable[PredictionTable], competitions: Sequence[Competition]) -> None:
        """Take all detections, and decide which have a place in their image.

        A detection of a class that nobody verified is not judged, but it takes a place.
        """
        limited = [c for c in competitions if c.limit is not None]
        with closing(ImageRanking(len(self._evaluation.image_ids))) as ranking:
            for block in blocks:
                found = self._admit(self._evaluation.detections(block))
                row = self._rows + np.arange(len(found.image))
                self._rows += len(found.image)
                for competition in competitions:
                    competition.count(found)
                if limited:
                    ranking.add(found, row)
                self._keep(found, row)
            ranking.decide(limited)

    def of_class(self, label: int) -> tuple[Detections, IntArray]:
        """Return the detections of a class in the order of their arrival, and their numbers."""
        records = self._spool.read(label)
        image = records["image"].astype(np.int64)
        boxes, score = records["boxes"].copy(), records["score"].copy()
        return Detections(image, np.full(len(image), label), boxes, score), records["row"]

    def close(self) -> None:
        """Remove the detections from the disk."""
        self._spool.close()

    def _admit(self, found: Detections) -> Detections:
        """Return the detections that take part."""
        in_image, of_class = found.image >= 0, found.label >= 0
        known = in_image & of_class
        admitted = known & self._admission.is_valid(found.boxes)
        self.counts.read += len(found.image)
        self.counts.in_other_images += int((~in_image).sum())
        self.counts.of_other_classes += int((in_image & ~of_class).sum())
        self.counts.without_area += int((known & ~admitted).sum())
        return found.select(admitted)

    def _keep(self, found: Detections, row: IntArray) -> None:
        if self._verified is not None:
            verified = self._is_verified(found, self._verified)
            self.counts.unverified += int((~verified).sum())
            found, row = found.select(verified), row[verified]
        self._spool.append(
            found.label, row=row, image=found.image, score=found.score, boxes=found.boxes
        )

    def _is_verified(self, found: Detections, verified: IntArray) -> BoolArray:
        """Return which detections are of a class that is known to be in the image or not."""
        pairs = self._evaluation.pairs(found.image, found.label)
        known: BoolArray = np.append(verified, -1)[np.searchsorted(verified, pairs)] == pairs
        return known
