"""Which seen classes a class without boxes borrows from, judged by classifier rows.

Shapes: C classifier classes, S seen classes, K any number of classes, d classifier width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import NeighborSettings, RowSpaceName
from pipelines.models.wtn import Standardization


class RowSpace(nn.Module):
    """Rows as they are, standardised per channel over all C classes, or of length 1.

    Args:
        name: ``raw``, ``standardized`` or ``normalized``.
        rows: ``[C, d]``, whose statistics standardise.
    """

    def __init__(self, name: RowSpaceName, rows: Tensor) -> None:
        super().__init__()
        self._name = name
        self._standardize = Standardization(rows) if name == "standardized" else None

    def forward(self, rows: Tensor) -> Tensor:
        """Bring ``[K, d]`` rows into the space."""
        if self._standardize is not None:
            standardized: Tensor = self._standardize(rows)
            return standardized
        return F.normalize(rows, dim=1) if self._name == "normalized" else rows


def neighbor_shares(
    rows: Tensor, seen_rows: Tensor, all_rows: Tensor, settings: NeighborSettings
) -> Tensor:
    """Return ``[K, S]`` what each class takes from each seen class; every row sums to 1.

    Args:
        rows: ``[K, d]`` raw classifier rows.
        seen_rows: ``[S]`` int64, the seen classes among ``all_rows``.
        all_rows: ``[C, d]`` the classifier rows of training.
        settings: Number of neighbours, metric and weights; all S if no number is given.
    """
    space = RowSpace(settings.rows, all_rows)
    similarity = similarities(space(rows), space(all_rows[seen_rows]), settings.metric)
    count = min(settings.count or len(seen_rows), len(seen_rows))
    best, nearest = similarity.topk(count, dim=1)
    if settings.weights == "softmax":
        share = F.softmax(best / settings.temperature, dim=1)
    else:
        share = torch.full_like(best, 1 / count)
    return torch.zeros_like(similarity).scatter_(1, nearest, share)


def similarities(rows: Tensor, others: Tensor, metric: str) -> Tensor:
    """Return ``[K, S]`` cosines, or negative Euclidean distances, of two sets of rows."""
    if metric == "l2":
        return -torch.cdist(rows, others)
    return F.normalize(rows, dim=1) @ F.normalize(others, dim=1).T
