"""``coco``: average precision and recall as COCO defines them, counted by faster-coco-eval.

Shapes: n detections, m ground-truth boxes of one class; T IoU thresholds, R recall levels, A object
sizes, M limits on the detections of an image.

COCO judges every class by itself, so the classes are handed over one at a time: what the library
holds is bounded by the largest class instead of by classes times images.
"""

from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.errors import ConfigError
from pipelines.metrics.joining import Detections, GroundTruth

_AREAS = ("all", "small", "medium", "large")  # of the library's default ranges, in their order
_LIMITS = (1, 10, 100)  # detections of one class in one image
_LARGEST_AREA = 1e5**2  # square pixels; the library's range "all" ends here


@dataclass(frozen=True)
class CocoFigures:
    """What COCO reports; NaN where there is nothing to find.

    AP is the mean over the IoU thresholds .50, .55, ..., .95, and the letters s, m and l stand for
    objects below 32 x 32 pixels, up to 96 x 96, and above. R50, the recall at an IoU of .50, is not
    among COCO's twelve.
    """

    AP: float
    AP50: float
    AP75: float
    APs: float
    APm: float
    APl: float
    AR1: float
    AR10: float
    AR100: float
    ARs: float
    ARm: float
    ARl: float
    R50: float


_NUM_FIGURES = len(fields(CocoFigures))


def require_faster_coco_eval() -> None:
    """Raise ConfigError if the extra is not installed."""
    try:
        import faster_coco_eval  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "the metric coco needs faster-coco-eval",
            mend="Install it: pip install faster-coco-eval",
        ) from error


def coco_class_figures(truth: GroundTruth, area: FloatArray, found: Detections) -> CocoFigures:
    """Judge one class.

    Args:
        truth: The m boxes, in pixels; a group is a crowd, which is neither found nor missed.
        area: ``[m]``, of the objects in square pixels; it decides which are small.
        found: The n detections, in pixels.
    """
    from faster_coco_eval import COCO, COCOeval_faster

    images = np.unique(np.append(truth.image, found.image)).tolist()
    if not images:
        return CocoFigures(*[float("nan")] * _NUM_FIGURES)
    truths = _annotations(truth.image, truth.boxes, area=area, iscrowd=truth.group_of.astype(int))
    width, height = (found.boxes[:, 2:] - found.boxes[:, :2]).T
    detections = _annotations(found.image, found.boxes, area=width * height, score=found.score)
    evaluation = COCOeval_faster(
        COCO(_dataset(images, truths)), COCO(_dataset(images, detections)), "bbox"
    )
    evaluation.params.imgIds, evaluation.params.catIds = images, [0]
    evaluation.params.maxDets = list(_LIMITS)
    evaluation.evaluate()
    evaluation.accumulate()
    return _figures(
        evaluation.eval["precision"][:, :, 0],  # [T, R, A, M]
        evaluation.eval["recall"][:, 0],  # [T, A, M]
        evaluation.params.iouThrs,
    )


def is_object(truth: GroundTruth, area: FloatArray) -> BoolArray:
    """Return ``[m]``: which boxes COCO counts as objects to find; groups and odd areas are not.

    The arguments are those of :func:`coco_class_figures`. A box whose corners are swapped on one
    axis has a negative area.
    """
    return ~truth.group_of & (area >= 0) & (area <= _LARGEST_AREA)


def mean_figures(classes: Iterable[CocoFigures]) -> CocoFigures:
    """Return the mean of each figure over the classes that have it."""
    table = np.array([astuple(figures) for figures in classes]).reshape(-1, _NUM_FIGURES)
    return CocoFigures(*map(_mean, table.T))


def _annotations(
    image: IntArray, boxes: NDArray[np.floating[Any]], **columns: NDArray[Any]
) -> list[dict[str, Any]]:
    """Return what COCO calls annotations; their ids count from 1, because 0 means unmatched."""
    corner_and_size = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    shared = {"category_id": 0, "iscrowd": 0}
    columns |= {"id": np.arange(len(image)) + 1, "image_id": image, "bbox": corner_and_size}
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [shared | dict(zip(columns, row, strict=True)) for row in rows]


def _dataset(images: list[int], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "images": [{"id": image} for image in images],
        "categories": [{"id": 0}],
        "annotations": annotations,
    }


def _figures(precision: FloatArray, recall: FloatArray, iou: FloatArray) -> CocoFigures:
    at_most = len(_LIMITS) - 1
    at = {round(100 * float(threshold)): row for row, threshold in enumerate(iou)}

    def _precision(area: str, rows: slice = slice(None)) -> float:
        return _mean(precision[rows, :, _AREAS.index(area), at_most])

    def _recall(area: str, limit: int) -> float:
        return _mean(recall[:, _AREAS.index(area), limit])

    return CocoFigures(
        AP=_precision("all"),
        AP50=_precision("all", slice(at[50], at[50] + 1)),
        AP75=_precision("all", slice(at[75], at[75] + 1)),
        APs=_precision("small"),
        APm=_precision("medium"),
        APl=_precision("large"),
        AR1=_recall("all", _LIMITS.index(1)),
        AR10=_recall("all", _LIMITS.index(10)),
        AR100=_recall("all", at_most),
        ARs=_recall("small", at_most),
        ARm=_recall("medium", at_most),
        ARl=_recall("large", at_most),
        R50=_mean(recall[at[50], _AREAS.index("all"), at_most]),
    )


def _mean(values: FloatArray) -> float:
    """Return the mean of what is known; COCO marks the unknown with -1, and we with NaN."""
    known = values[values > -1]
    return float(known.mean()) if known.size else float("nan")
