"""The box head whose features all have one length."""

import math

from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import TwoMLPHead


class NormalizedMLPHead(TwoMLPHead):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's two-layer box head, whose features ``[M, R]`` all get length sqrt(R)."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[M, R]`` features of pooled RoIs ``[M, channels, side, side]``."""
        features: Tensor = super().forward(x)
        return math.sqrt(features.shape[1]) * F.normalize(features, dim=1)
