"""What RoIs go through before they are scored: pooling, and a box head of features of one length.

Shapes: M RoIs, R RoI feature width.
"""

import math

from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

FINEST_LEVEL, COARSEST_LEVEL = (
    2,
    5,
)  # of the pyramid's levels that RoIs are pooled from: 1/4 to 1/32


def pyramid_pool(side: int, sampling_ratio: int) -> MultiScaleRoIAlign:
    """Return torchvision's RoI pooling with the scales of the pyramid.

    Left to itself it infers them from the first image that it sees, for good, and from a low one it
    infers others.

    Args:
        side: Of a pooled RoI, in cells.
        sampling_ratio: Samples per cell side.
    """
    levels = range(FINEST_LEVEL, COARSEST_LEVEL + 1)
    names = [str(place) for place in range(len(levels))]
    pool = MultiScaleRoIAlign(names, side, sampling_ratio)
    pool.scales = [2.0**-level for level in levels]
    pool.map_levels = LevelMapper(FINEST_LEVEL, COARSEST_LEVEL)
    return pool


class NormalizedMLPHead(TwoMLPHead):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's two-layer box head, whose features ``[M, R]`` all get length sqrt(R)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[M, R]`` features of pooled RoIs ``[M, channels, side, side]``."""
        features: Tensor = super().forward(x)
        return math.sqrt(features.shape[1]) * F.normalize(features.float(), dim=1)
