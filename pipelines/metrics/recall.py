"""``AR@k``: the share of boxes that is found by the k best detections of each image.

Shapes: N bootstrap samples, m ground-truth boxes of one class.

The k best are taken over all evaluated classes. A detection finds a box by the rules of the metric:
its class must match, it looks at the box that it overlaps most, and a box is found once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.metrics.bootstrap import (
    Interval,
    Samples,
    weighted_sum,
)
from pipelines.metrics.judgement import Judgement


@dataclass(frozen=True)
class RecallCounts:
    """One class: first in the images as they are, then in each bootstrap sample; ``[1 + N]`` each.

    Args:
        has_detections: Whether any of its detections is among the k best of an image.
        found: Boxes that were found.
        judged: Boxes to find in the images that the metric takes in.
        boxes: Boxes to find in all images.
    """

    has_detections: BoolArray
    found: FloatArray
    judged: FloatArray
    boxes: FloatArray

    @classmethod
    def of(
        cls,
        judged: Judgement,
        truth_image: IntArray,
        truth_worth: FloatArray,
        samples: Samples | None,
    ) -> "RecallCounts":
        """Count a class.

        Args:
            judged: Its detections among the k best.
            truth_image: ``[m]``, the rank of the image of each of its boxes.
            truth_worth: ``[m]``, what each adds to what there is to find.
            samples: ``[N, I]``, how often each image is in each bootstrap sample.
        """
        taken = np.ones(len(judged.image))
        pairs = (
            (judged.image, taken),
            (judged.image, judged.credit),
            (judged.truth_image, judged.truth_worth),
            (truth_image, truth_worth),
        )
        taken, *sums = (
            np.append(value.sum(), [] if samples is None else weighted_sum(samples, image, value))
            for image, value in pairs
        )
        return cls(taken > 0, *sums)


@dataclass(frozen=True)
class RecallSummary:
    """AR@k over a group of classes; NaN where there is nothing to find.

    Args:
        macro_released: Mean over the classes with a detection among the k best, as the AE-WTN
            release has it.
        macro_strict: Mean over all classes with boxes.
        micro: Boxes found of all boxes, whatever their class.
        intervals: Of each by name, where bootstrap samples were asked for.
    """

    macro_released: float
    macro_strict: float
    micro: float
    intervals: Mapping[str, Interval] | None


@dataclass(frozen=True)
class RecallAt:
    """AR@k.

    Args:
        k: Detections of an image that count.
        by_class: Every evaluated class.
    """

    k: int
    by_class: Mapping[str, RecallCounts]

    def of(self, class_ids: Iterable[str]) -> RecallSummary:
        """Return the figures over some of the classes; NaN if none of them has boxes."""
        counts = [self.by_class[class_id] for class_id in class_ids]
        figures = {
            "macro_released": _mean([_ratio(c.found, c.judged, c.has_detections) for c in counts]),
            "macro_strict": _mean([_ratio(c.found, c.boxes) for c in counts]),
            "micro": _micro(counts),
        }
        intervals = {
            name: Interval.around(float(figure[0]), figure[1:]) for name, figure in figures.items()
        }
        sampled = len(figures["micro"]) > 1
        return RecallSummary(
            **{name: float(figure[0]) for name, figure in figures.items()},
            intervals=intervals if sampled else None,
        )


def _ratio(found: FloatArray, to_find: FloatArray, counts: BoolArray | bool = True) -> FloatArray:
    """Return the quotient, or NaN where there is nothing to find or it does not count."""
    known = counts & (to_find > 0)
    ratio = np.full(len(found), np.nan)
    ratio[known] = found[known] / to_find[known]
    return ratio


def _mean(by_class: list[FloatArray]) -> FloatArray:
    """Return the mean over classes, NaN left out, for the images as they are and each sample."""
    figures = np.stack(by_class, axis=1)
    known = ~np.isnan(figures)
    total = np.where(known, figures, 0.0).sum(axis=1)
    return _ratio(total, known.sum(axis=1).astype(np.float64))


def _micro(counts: list[RecallCounts]) -> FloatArray:
    found, boxes = (
        np.stack([getattr(c, name) for c in counts]).sum(axis=0) for name in ("found", "boxes")
    )
    return _ratio(found, boxes)
