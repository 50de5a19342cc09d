"""What all heads have in common: plain rows for any class, and the losses to learn them.

Shapes: C classifier classes, D detection classes, S those of D with a classifier row ("seen"), O
the rest of D ("other"), K any number of classes, d classifier width, R RoI feature width, M RoIs.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.models.losses import LabelTables, classification_loss


class ClassRows(NamedTuple):
    """Rows of a plain detection head: ``weight [K, R]`` and ``bias [K]``."""

    weight: Tensor
    bias: Tensor

    def of(self, places: list[int]) -> "ClassRows":
        """Return some of them."""
        return ClassRows(self.weight[places], self.bias[places])


class ClassRowSource(NamedTuple):
    """What a head learns from.

    Args:
        rows: ``[C, d]`` raw classifier rows; never trained.
        seen_rows: ``[S]`` int64, the classifier row of each seen class, in detection order.
        seen: ``[S]`` int64, the place of each seen class among the D detection classes.
        other: ``[O]`` int64, the places of the rest.
    """

    rows: Tensor
    seen_rows: Tensor
    seen: Tensor
    other: Tensor


class ClassWeightHead(nn.Module, ABC):
    """Scores RoI features during training, and yields plain rows for any class offline.

    Training, export and evaluation do not know which method they serve: they see this class.

    Attributes:
        held: Rows that stand for those of :meth:`detection_rows` in the losses while a training
            step lasts, or None.
        projection: ``[P, R]`` if features are projected and brought to length 1 before they meet
            the rows, which then are ``[K, P]``: no plain head expresses that. Else None.
    """

    held: ClassRows | None = None

    @property
    def computes_rows(self) -> bool:
        """Whether a network makes the rows, which a step should run once for all its images."""
        return False

    @property
    def projection(self) -> Tensor | None:
        """The projection of the features, if there is one."""
        return None

    @abstractmethod
    def detection_rows(self) -> ClassRows:
        """Return the rows ``[D, R]`` of the classes with boxes, in detection order."""

    @abstractmethod
    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Turn raw classifier rows ``[K, d]`` into detector rows ``[K, R]``.

        Args:
            rows: Of any classes, in the feature space of training.
            shares: ``[K, S]`` what each class takes from each seen class, for a head that borrows;
                None leaves it to the head's own rule.
        """

    def forward(self, x: Tensor) -> Tensor:
        """Score RoI features ``[M, R]``; the logits are ``[M, D]``."""
        return score(x, self.detection_rows(), self.projection)

    def rows_and_losses(self) -> tuple[ClassRows, dict[str, Tensor]]:
        """Return the rows ``[D, R]`` and the losses that depend on no image, by name."""
        return self.detection_rows(), {}

    def losses(
        self, x: Tensor, labels: Tensor, tables: LabelTables, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the classification loss and, unless rows are held, the head's own losses, by name.

        They are computed in float32, also under autocast.

        Args:
            x: ``[M, R]`` RoI features.
            labels: ``[M]`` int64, 0 for background, else a detection class counted from 1.
            tables: Of the D classes.
            weights: ``[M]`` of the RoIs in the mean, adding up to 1; None weighs them alike.
        """
        with torch.autocast(x.device.type, enabled=False):
            rows, own = (self.held, {}) if self.held is not None else self.rows_and_losses()
            logits = score(x.float(), rows, self.projection)
            loss = classification_loss(logits, labels, tables, weights)
        return {"loss_classifier": loss, **own}

    def hold_rows(self) -> ClassRows:
        """Compute the rows once for several passes, and return them: leaves that gather gradients.

        Their gradients go on through the rows of :meth:`rows_and_losses`, which draws the same
        random numbers if both start from one seed.
        """
        with torch.no_grad(), _without_statistics(self):
            rows = self._rows_to_hold()
        self.held = ClassRows(*(part.clone().requires_grad_() for part in rows))
        return self.held

    def _rows_to_hold(self) -> ClassRows:
        return self.detection_rows()


class SeenAndOtherHead(ClassWeightHead):
    """A head whose seen classes have rows made by a rule; other classes learn rows of their own.

    Args:
        source: The classifier rows and how they meet the detection classes.
        width: Of a detector row.
        prior: Score of every class at the start.
    """

    _seen_rows: Tensor
    _order: Tensor

    def __init__(self, source: ClassRowSource, width: int, prior: float) -> None:
        super().__init__()
        count = len(source.other)
        self.other_score = prior_linear(width, count, prior) if count else None
        self.register_buffer("_seen_rows", source.seen_rows, persistent=False)
        order = torch.cat([source.seen, source.other]).argsort()
        self.register_buffer("_order", order, persistent=False)

    @abstractmethod
    def seen_class_rows(self) -> ClassRows:
        """Return the rows ``[S, R]`` of the seen classes."""

    def detection_rows(self) -> ClassRows:
        """Return the rows of seen and of other classes."""
        return self.with_other(self.seen_class_rows())

    def with_other(self, seen: ClassRows) -> ClassRows:
        """Join seen rows ``[S, R]`` and other rows ``[O, R]`` in detection order."""
        if self.other_score is None:
            return ClassRows(seen.weight[self._order], seen.bias[self._order])
        weight = torch.cat([seen.weight, self.other_score.weight])
        bias = torch.cat([seen.bias, self.other_score.bias])
        return ClassRows(weight[self._order], bias[self._order])


class FixedHead(nn.Module):
    """A head at work, its rows computed: one matrix, one bias, and at most a projection."""

    weight: Tensor
    bias: Tensor
    projection: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor, projection: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("projection", projection)

    def detection_rows(self) -> ClassRows:
        """Return the rows ``[K, R]``."""
        return ClassRows(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Score RoI features ``[M, R]``; the logits are ``[M, K]``."""
        return score(x, self.detection_rows(), self.projection)


@contextmanager
def _without_statistics(module: nn.Module) -> Iterator[None]:
    """Let no batch norm learn from what passes: the same rows pass again with gradients."""
    learning = [
        norm
        for norm in module.modules()
        if isinstance(norm, nn.BatchNorm1d) and norm.track_running_stats
    ]
    for norm in learning:
        norm.track_running_stats = False
    yield
    for norm in learning:
        norm.track_running_stats = True


def score(x: Tensor, rows: ClassRows, projection: Tensor | None = None) -> Tensor:
    """Return the logits ``[M, K]`` of features ``[M, R]``."""
    return F.linear(projected(x, projection), rows.weight, rows.bias)


def projected(x: Tensor, projection: Tensor | None) -> Tensor:
    """Return what meets the rows: the features ``[M, R]``, or ``[M, P]`` of length 1."""
    return x if projection is None else F.normalize(F.linear(x, projection).float(), dim=1)


def prior_bias(prior: float) -> float:
    """Return the bias at which a sigmoid gives ``prior`` (Lin et al., ICCV 2017, section 4.1)."""
    return -math.log((1 - prior) / prior)


def prior_linear(in_features: int, out_features: int, prior: float) -> nn.Linear:
    """Return a scoring layer that starts at the prior (release: weights from N(0, 0.001))."""
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.constant_(layer.bias, prior_bias(prior))
    return layer
