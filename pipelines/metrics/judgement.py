"""The detections of one class, judged right or wrong, whatever the metric's rules.

Shapes: n detections, m ground-truth boxes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import FloatArray, IntArray


@dataclass(frozen=True)
class Judgement:
    """One class over all images.

    Args:
        score: ``[n]``.
        credit: ``[n]`` float64, what each adds to the true positives; 0 is a false positive.
        image: ``[n]``, the rank of the image.
        num_ground_truth: What there is to find.
        truth_image: ``[m]``, the rank of the image of each box.
        truth_worth: ``[m]`` float64, what each box adds to what there is to find.
    """

    score: NDArray[np.floating[Any]]
    credit: FloatArray
    image: IntArray
    num_ground_truth: float
    truth_image: IntArray
    truth_worth: FloatArray
