"""How far figures would move with other images: the bootstrap over images.

Shapes: N samples, I images, n detections and m ground-truth boxes of one class, t true positives.

Detections are matched with boxes image by image, so an image that is drawn twice counts twice, and
nothing has to be matched again: each sample weights what was judged once (Efron, 1979).

An object that is drawn twice is found twice at one rank, which raises precision. For classes with a
few boxes this lifts the samples' average precision above the figure, as the figure itself lies
above what more images would show. So the interval is the normal one with the bias taken off
(Davison and Hinkley, 1997, chapter 5): 1.96 standard errors to either side of the figure less the
samples' bias.

The bias is an estimate too. Where it is larger than the standard error, as in the mean over many
classes with a few boxes each, the interval holds the truth less often than 95 times of 100.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import FloatArray, IntArray
from pipelines.metrics.judgement import Judgement

_STANDARD_ERRORS = 1.96  # to either side hold 95 % of a normal distribution
_ELEMENTS_PER_CHUNK = 1 << 22  # of [samples, detections] or [samples, images]

Samples = NDArray[np.uint16]


@dataclass(frozen=True)
class Interval:
    """A 95 % confidence interval of a figure between 0 and 1; NaN where there is none.

    Args:
        low: The figure less its bias and 1.96 standard errors, within 0 and 1.
        high: The figure less its bias and plus 1.96 standard errors, within 0 and 1.
        standard_error: The standard deviation of the samples.
        bias: Their mean, less the figure.
    """

    low: float
    high: float
    standard_error: float
    bias: float

    @classmethod
    def around(cls, figure: float, samples: FloatArray) -> "Interval":
        """Return the interval of a figure, given its value in each sample ``[N]``, or NaN."""
        known = samples[~np.isnan(samples)]
        if len(known) < 2:
            return cls(*[float("nan")] * 4)
        error, bias = float(known.std(ddof=1)), float(known.mean()) - figure
        reach = _STANDARD_ERRORS * np.array([-error, error])
        low, high = (figure - bias + reach).clip(0, 1).tolist()
        return cls(low, high, error, bias)

    @property
    def is_unreliable(self) -> bool:
        """Whether the bias exceeds the standard error."""
        return abs(self.bias) > self.standard_error


@dataclass(frozen=True)
class SampledFigures:
    """One class in each sample; NaN where it has no figure.

    Args:
        average_precision: ``[N]``.
        recall: ``[N]``.
    """

    average_precision: FloatArray
    recall: FloatArray

    @classmethod
    def of(
        cls, judged: Judgement, samples: Samples, recall_without_detections: float
    ) -> "SampledFigures":
        """Weight the detections and boxes of a class by how often their images were drawn."""
        order = np.argsort(judged.score)[::-1]
        image, credit = judged.image[order], judged.credit[order]
        to_find = weighted_sum(samples, judged.truth_image, judged.truth_worth)
        per_chunk = _samples_per_chunk(len(order))
        parts = [
            _average_precision_and_recall(
                samples[start : start + per_chunk, image],
                credit,
                to_find[start : start + per_chunk],
                recall_without_detections,
            )
            for start in range(0, len(samples), per_chunk)
        ]
        return cls(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def draw_samples(num_samples: int, num_images: int, seed: int) -> Samples:
    """Return ``[N, I]``: how often each image is drawn when I are drawn with replacement."""
    generator = np.random.default_rng(seed)
    samples = np.empty((num_samples, num_images), np.uint16)
    for sample in samples:
        drawn = generator.integers(num_images, size=num_images)
        sample[:] = np.bincount(drawn, minlength=num_images)
    return samples


def weighted_sum(samples: Samples, image: IntArray, value: FloatArray) -> FloatArray:
    """Return ``[N]``: the sum of values, each as often as its image is in the sample."""
    images, place = np.unique(image, return_inverse=True)
    by_image = np.bincount(place, value, minlength=len(images)).astype(np.float64)
    total = np.empty(len(samples))
    per_chunk = _samples_per_chunk(len(images))
    for start in range(0, len(samples), per_chunk):
        total[start : start + per_chunk] = samples[start : start + per_chunk, images] @ by_image
    return total


def mean_over_classes(by_class: Sequence[FloatArray]) -> FloatArray:
    """Return ``[N]``: the mean in each sample over the classes, ``[N]`` each; NaN is left out."""
    figures = np.stack(by_class)
    known = ~np.isnan(figures)
    count = known.sum(axis=0)
    total = np.where(known, figures, 0.0).sum(axis=0)
    means = np.full(len(total), np.nan)
    np.divide(total, count, out=means, where=count > 0)
    return means


def _samples_per_chunk(width: int) -> int:
    return max(_ELEMENTS_PER_CHUNK // max(width, 1), 1)


def _average_precision_and_recall(
    weight: NDArray[np.unsignedinteger[Any]],
    credit: FloatArray,
    to_find: FloatArray,
    recall_without_detections: float,
) -> tuple[FloatArray, FloatArray]:
    """Follow the precision-recall curves of some samples.

    Precision is highest at a true positive, so the curve is known by its points there.

    Args:
        weight: ``[N, n]``, of the detections by descending score.
        credit: ``[n]``.
        to_find: ``[N]``.
        recall_without_detections: Where no detection is in the sample.
    """
    right = np.flatnonzero(credit > 0)  # [t]
    taken = weight.cumsum(axis=1, dtype=np.int64)  # [N, n]
    num_right = weight[:, right].cumsum(axis=1, dtype=np.int64)
    true_positives = (weight[:, right] * credit[right]).cumsum(axis=1)  # [N, t]
    false_positives = taken[:, right] - num_right
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = true_positives / (true_positives + false_positives)
        recall = true_positives / to_find[:, None]
    precision = np.nan_to_num(precision)  # before the first detection that is in the sample
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    area = (np.diff(recall, axis=1, prepend=0.0) * envelope).sum(axis=1)
    found = (taken[:, -1:] > 0).any(axis=1)
    final = recall[:, -1] if len(right) else np.zeros(len(weight))
    return (
        np.where(to_find > 0, area, np.nan),
        np.where(to_find > 0, np.where(found, final, recall_without_detections), np.nan),
    )
