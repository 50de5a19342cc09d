"""Compare the detections of an export with those of the detector that it was made from.

Shapes: n and m detections of an image.
"""

from collections.abc import Iterable

import torch

from pipelines.exporters.base import Agreement
from pipelines.models.postprocess import Detections

NEAR_PIXELS, NEAR_SCORE = 1.0, 0.01  # of two detections that may be the same one


def compare_detections(pairs: Iterable[tuple[Detections, Detections]]) -> Agreement:
    """Return the largest differences between two detectors over images.

    Detections of one class pair up if each is nearest to the other, and near.

    Args:
        pairs: Detections of the source and of the export, for each image.
    """
    count, scores, boxes, unmatched = 0, 0.0, 0.0, 0
    for source, export in pairs:
        count += len(source.scores)
        at_source, at_export, pixels = _nearest(source, export)
        unmatched += len(source.scores) + len(export.scores) - 2 * len(at_source)
        if len(at_source):
            boxes = max(boxes, float(pixels.max()))
            apart = (source.scores[at_source] - export.scores[at_export]).abs()
            scores = max(scores, float(apart.max()))
    return Agreement("detections", count, scores, boxes, unmatched)


def _nearest(
    source: Detections, export: Detections
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the places of pairs in both, and how many pixels they are apart."""
    if not len(source.scores) or not len(export.scores):
        none = torch.empty(0, dtype=torch.int64)
        return none, none, torch.empty(0)
    pixels = (source.boxes[:, None] - export.boxes[None]).abs().amax(dim=2)  # [n, m]
    apart = (source.scores[:, None] - export.scores[None]).abs()
    near = (source.classes[:, None] == export.classes[None]) & (apart <= NEAR_SCORE)
    distance = torch.where(near & (pixels <= NEAR_PIXELS), pixels + apart, torch.inf)
    nearest = distance.argmin(dim=1)  # [n]
    mutual = distance.argmin(dim=0)[nearest] == torch.arange(len(nearest))
    paired = mutual & distance.amin(dim=1).isfinite()
    rows = paired.nonzero().squeeze(1)
    return rows, nearest[rows], pixels[rows, nearest[rows]]
