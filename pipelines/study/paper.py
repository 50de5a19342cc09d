"""What the paper reports for the variants of the studies, by their names; in percent.

Source: Kuen et al., "Scaling Object Detection by Transferring Classification Weights", ICCV 2019
(arXiv:1909.06804).
"""

from collections.abc import Mapping
from typing import NamedTuple

from pipelines.study.worlds import NOVEL_AP50, NOVEL_AR50, SEEN_AP50

Figures = Mapping[str, float]


def _detection(seen: float, novel: float, visual_genome: float) -> Figures:
    """Return AP50 of 500 and of 57 classes of Open Images, and AR50@100 of Visual Genome's 200."""
    return {SEEN_AP50: seen, NOVEL_AP50: novel, NOVEL_AR50: visual_genome}


_WTN = _detection(52.87, 34.94, 41.91)
_WTN_PLUS = _detection(58.82, 39.28, 65.60)

TABLE1: Mapping[str, Figures] = {
    "faster-rcnn-nn": _detection(59.55, 28.09, 49.39),  # two rows there, of one detector
    "lsda": _detection(59.44, 25.89, 51.14),
    "lsda-visual-images": _detection(59.44, 26.43, 53.03),  # and of no proxy by weights
    "zsd": _detection(47.37, 34.63, 38.04),
    "zsd-words": _detection(58.39, 29.51, 35.09),  # fastText
    "wtn": _WTN,
    "wtn+": _WTN_PLUS,
    "wtn+-weight-decay": _detection(58.46, 40.79, 65.87),
    "wtn+-activity": _detection(55.86, 33.47, 36.26),
    "wtn+-dropout": _detection(57.14, 40.09, 65.52),
    "wtn+-half": _detection(58.80, 37.81, 63.16),
    "ae-wtn": _detection(59.59, 41.07, 66.75),
}
TABLE2: Mapping[str, Figures] = {
    "wtn": _WTN,
    "wtn-input-norm": _detection(57.60, 37.27, 54.19),
    "wtn-group-norm": _detection(54.60, 35.84, 58.55),
    "wtn+": _WTN_PLUS,
}


def _norms(seen: float, novel: float, variance_seen: float, variance_novel: float) -> Figures:
    """Return mean and variance over classes of the L2 norm of hidden activations."""
    return {
        "mean_seen": seen,
        "mean_novel": novel,
        "variance_seen": variance_seen,
        "variance_novel": variance_novel,
        "variance_ratio": variance_novel / variance_seen,
    }


TABLE3: Mapping[str, Figures] = {
    "wtn+": _norms(1.838, 1.784, 0.091, 0.093),
    "wtn+-batch-norm": _norms(1.379, 2.627, 0.104, 7.117),
}


class Cost(NamedTuple):
    """Of an iteration with two images on one GPU.

    Args:
        milliseconds: With four GPUs of a model that the paper does not name.
        gigabytes: Of GPU memory.
    """

    milliseconds: int
    gigabytes: float


TABLE4: Mapping[str, Cost] = {
    "faster-rcnn": Cost(365, 4.11),
    "wtn": Cost(371, 4.15),
    "wtn+": Cost(379, 4.19),
    "ae-wtn": Cost(401, 4.26),
}
TABLE4_IMAGES = 2
FIGURE4_NEIGHBORS, FIGURE4_CLASSES = 100, 5000
FIGURE4: Figures = {"ae-wtn": 48.25, "wtn+": 38.0, "wtn": 31.95}
"""The text on Figure 4: how many of the 100 nearest classifier rows stay neighbours after the
transfer, of 5000 classes, mean over 20 random ones."""

TRAINING_LOSS: Figures = {"ae-wtn": 0.5572, "wtn+": 0.5754}
"""Section 5.2: the classification loss of seen classes late in training."""
