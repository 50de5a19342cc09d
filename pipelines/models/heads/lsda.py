"""LSDA: a detector row is the classifier's row plus a learned change.

Shapes: S seen classes, K any number of classes, R width of classifier rows and RoI features.
"""

import torch
from torch import Tensor, nn

from pipelines.config import HeadSettings
from pipelines.models.heads.base import ClassRows, ClassRowSource, SeenAndOtherHead, prior_bias
from pipelines.models.neighbors import RowSpace, default_shares


class LSDAHead(SeenAndOtherHead):
    """Seen: ``v_i = s w_i + delta_i``. Others: ``v_j = s w_j + sum_i a_ji delta_i``.

    The shares ``a_j`` are 1/k for the k nearest seen classes (Hoffman et al., NIPS 2014, Eq. 3),
    or visual similarities (Tang et al., CVPR 2016). The changes start at 0.

    Args:
        source: The classifier rows, as wide as the RoI features.
        settings: Scale, row space and prior.
    """

    _all_rows: Tensor

    def __init__(self, source: ClassRowSource, settings: HeadSettings) -> None:
        width = source.rows.shape[1]
        super().__init__(source, width, settings.prior)
        self.delta = nn.Parameter(torch.zeros(len(source.seen), width))
        self.delta_bias = nn.Parameter(torch.zeros(len(source.seen)))
        self.common_bias = nn.Parameter(torch.full((1,), prior_bias(settings.prior)))
        self._scale = settings.lsda.scale
        self._space = RowSpace(settings.lsda.rows, source.rows)
        self.register_buffer("_all_rows", source.rows, persistent=False)

    def seen_class_rows(self) -> ClassRows:
        """Return the classifier's rows with their changes."""
        own = self._scaled(self._all_rows[self._seen_rows])
        return ClassRows(own + self.delta, self.common_bias + self.delta_bias)

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Return the rows with the shared changes of seen classes."""
        if shares is None:
            shares = default_shares("lsda", rows, self._seen_rows, self._all_rows)
        weight = self._scaled(rows) + shares @ self.delta
        return ClassRows(weight, self.common_bias + shares @ self.delta_bias)

    def _scaled(self, rows: Tensor) -> Tensor:
        in_space: Tensor = self._space(rows)
        return self._scale * in_space
