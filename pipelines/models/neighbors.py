"""Which seen classes a class without boxes borrows from, judged by classifier rows.

Shapes: C classifier classes, S seen classes, K any number of classes, d classifier width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import Method, NeighborSettings, RowSpaceName
from pipelines.config.head import TRANSFERS
from pipelines.models.wtn import Standardization

DEFAULT_COUNTS: Mapping[Method, int] = {
    "faster-rcnn": 1,
    "lsda": 10,
    **dict.fromkeys(TRANSFERS, 5),
}
"""How many neighbours lend to a class, where a method borrows. The first is the "NN" of Kuen et
al.; for LSDA neither Hoffman et al. nor Kuen et al. say what theirs was; for the transfer networks,
which borrow only on demand, docs/transfer.md has the evidence."""

_LEAST_SPREAD = 1e-6  # of a class that is as similar to all: its shares are equal


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

    With softmax weights a share is in proportion to ``exp(s / (temperature * spread))``, where the
    spread is that of the class's similarities s to all S. Cosines between the rows of real
    classifiers differ little, so an absolute temperature would let all classes borrow one mean row.

    Args:
        rows: ``[K, d]`` raw classifier rows.
        seen_rows: ``[S]`` int64, the seen classes among ``all_rows``.
        all_rows: ``[C, d]`` the classifier rows of training.
        settings: Number of neighbours, metric and weights; all S if no number is given.
    """
    space = RowSpace(settings.rows, all_rows)
    similarity = similarities(space(rows), space(all_rows[seen_rows]), settings.metric)
    best, nearest = _most_similar(similarity, settings.count)
    if settings.weights == "softmax":
        share = F.softmax(best / (settings.temperature * _spread(similarity)), dim=1)
    else:
        share = torch.full_like(best, 1 / best.shape[1])
    return torch.zeros_like(similarity).scatter_(1, nearest, share)


def default_shares(method: Method, rows: Tensor, seen_rows: Tensor, all_rows: Tensor) -> Tensor:
    """Return ``[K, S]`` the shares of a method that borrows, where nobody says otherwise."""
    settings = NeighborSettings(count=DEFAULT_COUNTS[method])
    return neighbor_shares(rows, seen_rows, all_rows, settings)


def visual_shares(probabilities: Tensor, count: int | None) -> Tensor:
    """Return ``[K, S]`` shares in proportion to a visual similarity (Tang et al., CVPR 2016).

    Args:
        probabilities: ``[K, S]`` mean probability of each seen class over the images of each class;
            a row whose sum is 0 stays 0.
        count: Only so many of the most similar seen classes lend; None means all S.
    """
    best, nearest = _most_similar(probabilities, count)
    share = F.normalize(best, p=1, dim=1)
    return torch.zeros_like(probabilities).scatter_(1, nearest, share)


def _most_similar(similarity: Tensor, count: int | None) -> tuple[Tensor, Tensor]:
    """Return the highest values of each row and where they are; the first wins a tie."""
    ordered, places = similarity.sort(dim=1, descending=True, stable=True)
    return ordered[:, :count], places[:, :count]


def _spread(similarity: Tensor) -> Tensor:
    """Return the standard deviation ``[K, 1]`` of each row, which is not 0."""
    return similarity.std(dim=1, correction=0, keepdim=True).clamp(min=_LEAST_SPREAD)


def similarities(rows: Tensor, others: Tensor, metric: str) -> Tensor:
    """Return ``[K, S]`` cosines, or negative Euclidean distances, of two sets of rows."""
    if metric == "l2":
        return -torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    return F.normalize(rows, dim=1) @ F.normalize(others, dim=1).T
