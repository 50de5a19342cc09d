"""AE-WTN beside a linear map of the classifier's rows, by the angle to features of one length.

Shapes: S seen classes, K any number of classes, R width of classifier rows and RoI features.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import HeadSettings
from pipelines.models.heads.base import ClassRows, ClassRowSource
from pipelines.models.heads.transfer import Encoded, WeightTransferHead

START_SCALE = 10.0  # that of ``zsd``


class CosineHead(WeightTransferHead):
    """``v_j = s / sqrt(R) * (u_j + P u_j + T(w_j))``, ``u_j = w_j / |w_j|``, features of sqrt(R).

    The matrix P and the network T start at 0, so training starts from the cosines between features
    and classifier rows. P, trained with the detector, does what the projection of zero-shot
    detection does (``zsd``), and T learns what they both lack. The scale s is learned. The
    detector's box head brings the features to their length, so the rows are those of a plain head.

    Args:
        source: The classifier rows, as wide as the RoI features.
        roi_width: R.
        settings: The numbers of AE-WTN.
    """

    _unit_rows: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, settings: HeadSettings) -> None:
        super().__init__(source, roi_width, settings)
        self.log_scale = nn.Parameter(torch.tensor(START_SCALE / math.sqrt(roi_width)).log())
        self.linear = nn.Linear(roi_width, roi_width, bias=False)
        nn.init.zeros_(self.linear.weight)
        unit_rows = F.normalize(source.rows[source.seen_rows], dim=1)
        self.register_buffer("_unit_rows", unit_rows, persistent=False)

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Return the classifier's directions with their changes."""
        return self._on(F.normalize(rows, dim=1), super().class_rows(rows))

    def _seen_class_rows(self, seen: Encoded) -> ClassRows:
        return self._on(self._unit_rows, super()._seen_class_rows(seen))

    def _on(self, unit_rows: Tensor, change: ClassRows) -> ClassRows:
        directions = unit_rows + self.linear(unit_rows) + change.weight
        return ClassRows(self.log_scale.exp() * directions, change.bias)
