"""How many of a class's neighbours stay neighbours when its row is transferred (Figure 4).

Shapes: C classifier classes, n values of k, B classes of a chunk, d classifier width, R width of
detector rows.

A class is not its own neighbour. Among classes at equal distance the order is arbitrary, so rows
that are all alike, as those of an untrained AE-WTN are, have an arbitrary overlap.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pipelines.artifacts import DetectorCheckpoint
from pipelines.data.tables import FloatArray
from pipelines.models.checkpoints import restore_class_head
from pipelines.models.neighbors import similarities

NEIGHBORS = (*range(10, 101, 10), 200, 500)  # the paper shows a curve; its text gives k = 100 only
SAMPLED_CLASSES = 20  # paper
_SAMPLE_SEED = 0
_STANDARD_ERRORS = 1.96  # to either side hold 95 % of a normal distribution
_ELEMENTS_PER_CHUNK = 1 << 23  # of [B, C]


@dataclass(frozen=True)
class NeighborOverlap:
    """The common neighbours of classes in two spaces, for several numbers of neighbours k.

    Args:
        neighbors: The n values of k, ascending.
        counts: ``[C, n]``, of each class; not whole where it is a mean over trainings.
    """

    neighbors: tuple[int, ...]
    counts: FloatArray

    @classmethod
    def mean_of(cls, overlaps: "Sequence[NeighborOverlap]") -> "NeighborOverlap":
        """Average trainings of the same classes, class by class."""
        counts = np.mean([overlap.counts for overlap in overlaps], axis=0)
        return cls(overlaps[0].neighbors, counts)

    @cached_property
    def mean(self) -> FloatArray:
        """The mean over all classes, ``[n]``."""
        return np.asarray(self.counts.mean(axis=0))

    @cached_property
    def margin(self) -> FloatArray:
        """Half of the 95 % confidence interval of the mean, ``[n]``; NaN for one class.

        It is the normal interval, which takes the classes for independent draws.
        """
        if len(self.counts) < 2:
            return np.full(len(self.neighbors), np.nan)
        deviation = self.counts.std(axis=0, ddof=1)
        return np.asarray(_STANDARD_ERRORS * deviation / math.sqrt(len(self.counts)))

    @cached_property
    def sampled_mean(self) -> FloatArray:
        """The mean over 20 random classes as in the paper, ``[n]``; over all if there are fewer."""
        size = min(SAMPLED_CLASSES, len(self.counts))
        random = np.random.default_rng(_SAMPLE_SEED)
        chosen = random.choice(len(self.counts), size, replace=False)
        return np.asarray(self.counts[chosen].mean(axis=0))

    @cached_property
    def by_chance(self) -> FloatArray:
        """What two unrelated spaces have in common, ``[n]``."""
        return np.array([by_chance(k, len(self.counts)) for k in self.neighbors])

    def as_dict(self) -> dict[str, object]:
        """Return the figures, without those of each class, as JSON values."""
        return {
            "classes": len(self.counts),
            "neighbors": list(self.neighbors),
            "mean": self.mean.tolist(),
            "margin_95": [None if math.isnan(half) else half for half in self.margin.tolist()],
            "sampled_mean": self.sampled_mean.tolist(),
            "by_chance": self.by_chance.tolist(),
        }


def by_chance(neighbors: int, num_classes: int) -> float:
    """Return how many of k nearest classes two unrelated spaces share: ``k * k / (C - 1)``."""
    return neighbors**2 / max(num_classes - 1, 1)


@torch.inference_mode()
def overlap_of(checkpoint: Path) -> NeighborOverlap:
    """Compare the raw classifier rows of a checkpoint with the detector rows made from them.

    Args:
        checkpoint: Of any method; all C classes are taken from ``class_rows``, as novel ones are.

    Raises:
        ArtifactError: If the checkpoint is bad.
    """
    trained = DetectorCheckpoint.load(checkpoint)
    rows = trained.classifier.weight
    transferred = restore_class_head(trained).class_rows(rows).weight
    return neighbor_overlap(rows, transferred)


def neighbor_overlap(
    rows: Tensor, transferred: Tensor, neighbors: Sequence[int] = NEIGHBORS
) -> NeighborOverlap:
    """Count ``|NN_k(W, c) & NN_k(V, c)|`` for every class c.

    Near means a small angle; the paper does not say what it means there.

    Args:
        rows: W, ``[C, d]``.
        transferred: V, ``[C, R]``.
        neighbors: Values of k. From C - 1 on all classes are neighbours and stay so: such values
            are left out, unless there are no others.
    """
    ks = sorted({k for k in neighbors if k < len(rows) - 1}) or [len(rows) - 1]
    per_chunk = max(_ELEMENTS_PER_CHUNK // len(rows), 1)
    parts = []
    for chunk in torch.split(torch.arange(len(rows)), per_chunk):
        before = _nearest(rows, chunk, ks[-1])
        after = _nearest(transferred, chunk, ks[-1])
        parts.append(_common(before, after, len(rows), ks))
    return NeighborOverlap(tuple(ks), torch.cat(parts).double().numpy())


def _nearest(rows: Tensor, chunk: Tensor, count: int) -> Tensor:
    """Return the classes nearest to those of a chunk, ``[B, count]``, the nearest first."""
    similarity = similarities(rows[chunk], rows, "cosine")  # [B, C]
    similarity[torch.arange(len(chunk)), chunk] = -torch.inf
    return similarity.topk(count, dim=1).indices


def _common(before: Tensor, after: Tensor, num_classes: int, ks: Sequence[int]) -> Tensor:
    """Return ``[B, n]``: how many classes are among the first k of both orders, for each k.

    Args:
        before: ``[B, m]`` classes in order, m the highest k.
        after: The same in the other space.
        num_classes: C.
        ks: The n values of k.
    """
    most = before.shape[1]
    place = torch.arange(most).expand_as(before)
    place_after = torch.full((len(before), num_classes), most).scatter_(1, after, place)
    later = torch.maximum(place, place_after.gather(1, before))  # both have it from there on
    return torch.stack([(later < k).sum(dim=1) for k in ks], dim=1)
