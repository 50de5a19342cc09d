"""The figures of the paper that the studies are set beside.

Source: Kuen et al., "Scaling Object Detection by Transferring Classification Weights", ICCV 2019
(arXiv:1909.06804).
"""

from collections.abc import Mapping
from typing import NamedTuple

SEEN = "seen_ap50"  # Open Images, 500 classes with boxes
NOVEL = "novel_ap50"  # Open Images, 57 classes without
VISUAL_GENOME = "vg_ar50"  # Visual Genome, 200 classes without, 100 detections an image


class Reported(NamedTuple):
    """One row of the paper: its title there, and its figures by metric; None where it has none."""

    title: str
    figures: Mapping[str, float | None]


def _detection(
    title: str, seen: float | None, novel: float | None, visual_genome: float | None
) -> Reported:
    return Reported(title, {SEEN: seen, NOVEL: novel, VISUAL_GENOME: visual_genome})


TABLE1: Mapping[str, Reported] = {
    "faster-rcnn": _detection("Faster R-CNN", 59.55, None, None),
    "faster-rcnn-nn": _detection("Faster R-CNN (NN)", None, 28.09, 49.39),
    "lsda": _detection("LSDA", 59.44, 25.89, 51.14),
    "lsda-visual": _detection("LSDA (visual transfer)", 59.44, 26.43, 53.03),
    "zsd-classifier": _detection("ZSD, classifier weights", 47.37, 34.63, 38.04),
    "zsd-fasttext": _detection("ZSD, fastText", 58.39, 29.51, 35.09),
    "wtn": _detection("WTN", 52.87, 34.94, 41.91),
    "wtn+": _detection("WTN+", 58.82, 39.28, 65.60),
    "wtn+weight-decay": _detection("WTN+, 5x weight decay", 58.46, 40.79, 65.87),
    "wtn+activity": _detection("WTN+, activity regulariser", 55.86, 33.47, 36.26),
    "wtn+dropout": _detection("WTN+, dropout", 57.14, 40.09, 65.52),
    "wtn+half": _detection("WTN+, half the hidden width", 58.80, 37.81, 63.16),
    "ae-wtn": _detection("AE-WTN", 59.59, 41.07, 66.75),
}
"""Weight-transfer methods, in percent."""

TABLE2: Mapping[str, Reported] = {
    "wtn": _detection("WTN", 52.87, 34.94, 41.91),
    "wtn-input-norm": _detection("WTN, standardised rows", 57.60, 37.27, 54.19),
    "wtn-group-norm": _detection("WTN, GroupNorm", 54.60, 35.84, 58.55),
    "wtn+": _detection("WTN+ (both)", 58.82, 39.28, 65.60),
}
"""What turns WTN into WTN+, in percent."""


class NormFigures(NamedTuple):
    """Mean and variance over classes of the L2 norm of hidden activations."""

    mean_seen: float
    mean_novel: float
    variance_seen: float
    variance_novel: float


TABLE3: Mapping[str, NormFigures] = {
    "wtn+": NormFigures(1.838, 1.784, 0.091, 0.093),
    "wtn+batch-norm": NormFigures(1.379, 2.627, 0.104, 7.117),
}
"""WTN+ with GroupNorm and with BatchNorm in its hidden layer."""

FIGURE4_NEIGHBORS = 100
FIGURE4: Mapping[str, float] = {"ae-wtn": 48.25, "wtn+": 38.0, "wtn": 31.95}
"""The text on Figure 4: how many of the 100 nearest classifier rows stay neighbours after the
transfer, of 5000 classes, mean over 20 random ones."""

TRAINING_LOSS: Mapping[str, float] = {"ae-wtn": 0.5572, "wtn+": 0.5754}
"""Section 5.2: the classification loss of seen classes at the end of training."""
