"""Every method is a rule that turns classifier rows into detector rows; here are the rules.

Shapes: C classifier classes, D detection classes, S those of D with a classifier row ("seen"), O
the rest of D ("other"), K any number of rows, d classifier width, R RoI feature width, M RoIs.

Training, export and evaluation do not know which method they serve: they see ``ClassWeightHead``.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import HeadSettings
from pipelines.models.wtn import Standardization, WeightTransfer, reconstruction_loss


class ClassRows(NamedTuple):
    """Rows of a plain detection head: ``weight [K, R]`` and ``bias [K]``."""

    weight: Tensor
    bias: Tensor


class ScoredRoIs(NamedTuple):
    """What a head makes of RoI features: logits over its classes, and losses of its own by name."""

    logits: Tensor
    losses: dict[str, Tensor]


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
    """Scores RoI features during training, and yields plain rows for any class offline."""

    @abstractmethod
    def detection_rows(self) -> ClassRows:
        """Return the rows ``[D, R]`` of the classes with boxes, in detection order."""

    @abstractmethod
    def class_rows(self, rows: Tensor) -> ClassRows:
        """Turn raw classifier rows ``[K, d]`` into detector rows ``[K, R]``."""

    def forward(self, x: Tensor) -> ScoredRoIs:
        """Score RoI features ``[M, R]``; the logits are ``[M, D]``."""
        weight, bias = self.detection_rows()
        return ScoredRoIs(F.linear(x, weight, bias), {})


class FixedHead(nn.Module):
    """An exported head at work: one matrix, one bias."""

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> ScoredRoIs:
        """Score RoI features ``[M, R]``; the logits are ``[M, K]``."""
        return ScoredRoIs(F.linear(x, self.weight, self.bias), {})


class LinearHead(ClassWeightHead):
    """Plain Faster R-CNN; a class without boxes borrows the row of its nearest seen class.

    Nearest means the highest cosine between raw classifier rows.

    Args:
        source: The classifier rows and how they meet the detection classes.
        roi_width: R.
        prior: Score of every class at the start.
    """

    def __init__(self, source: ClassRowSource, roi_width: int, prior: float) -> None:
        super().__init__()
        self.cls_score = _prior_linear(roi_width, len(source.seen) + len(source.other), prior)
        self.register_buffer("_seen", source.seen, persistent=False)
        self.register_buffer("_seen_rows", source.rows[source.seen_rows], persistent=False)

    _seen: Tensor
    _seen_rows: Tensor

    def detection_rows(self) -> ClassRows:
        """Return the trained rows."""
        return ClassRows(self.cls_score.weight, self.cls_score.bias)

    def class_rows(self, rows: Tensor) -> ClassRows:
        """Return for each row the trained row of its nearest seen class."""
        nearest = self._seen[nearest_rows(rows, self._seen_rows)]
        return ClassRows(self.cls_score.weight[nearest], self.cls_score.bias[nearest])


class WeightTransferHead(ClassWeightHead):
    """WTN, WTN+ and AE-WTN: seen classes score with transferred rows, other classes with their own.

    One learned scalar bias serves all transferred classes, so a class that never had a box has one.

    Args:
        source: The classifier rows and how they meet the detection classes.
        roi_width: R.
        settings: Method and its numbers.
    """

    _rows: Tensor
    _seen_rows: Tensor
    _order: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, settings: HeadSettings) -> None:
        super().__init__()
        plus = settings.method != "wtn"  # WTN+ adds input normalisation and GroupNorm
        width, hidden = source.rows.shape[1], settings.hidden or roi_width
        groups, slope = settings.groups if plus else None, settings.negative_slope
        self.transfer = nn.ModuleDict()
        self.transfer["encoder"] = WeightTransfer(
            width, hidden, roi_width, groups=groups, negative_slope=slope
        )
        if plus and settings.zero_gamma:
            self._encoder.start_at_zero()
        if settings.method == "ae-wtn":
            decoder = WeightTransfer(roi_width, hidden, width, groups=groups, negative_slope=slope)
            decoder.start_small(std=0.001)
            self.transfer["decoder"] = decoder
        self.standardize = Standardization(source.rows) if plus else nn.Identity()
        self.common_bias = nn.Parameter(torch.full((1,), prior_bias(settings.prior)))
        self.other_score = (
            _prior_linear(roi_width, len(source.other), settings.prior)
            if len(source.other)
            else None
        )
        self._alpha, self._reconstruction = settings.alpha, settings.reconstruction
        with torch.no_grad():
            self.register_buffer("_rows", self.standardize(source.rows), persistent=False)
        self.register_buffer("_seen_rows", source.seen_rows, persistent=False)
        order = torch.cat([source.seen, source.other]).argsort()
        self.register_buffer("_order", order, persistent=False)

    def forward(self, x: Tensor) -> ScoredRoIs:
        """Score RoI features, and reconstruct the rows of all C classes (AE-WTN)."""
        if "decoder" not in self.transfer:
            return super().forward(x)
        encoded = self._encoder(self._rows)  # [C, R], for the scores and the reconstruction
        weight, bias = self._with_other(encoded[self._seen_rows])
        loss = reconstruction_loss(
            self.transfer["decoder"](encoded), self._rows, self._reconstruction
        )
        return ScoredRoIs(F.linear(x, weight, bias), {"loss_reconstruction": self._alpha * loss})

    def detection_rows(self) -> ClassRows:
        """Return transferred rows for seen classes and trained rows for other classes."""
        return self._with_other(self._encoder(self._rows[self._seen_rows]))

    def class_rows(self, rows: Tensor) -> ClassRows:
        """Standardise with the statistics of training, and transfer."""
        weight: Tensor = self._encoder(self.standardize(rows))
        return ClassRows(weight, self.common_bias.expand(len(weight)))

    @property
    def _encoder(self) -> WeightTransfer:
        encoder = self.transfer["encoder"]
        assert isinstance(encoder, WeightTransfer)
        return encoder

    def _with_other(self, seen: Tensor) -> ClassRows:
        """Join transferred rows ``[S, R]`` and trained rows ``[O, R]`` in detection order."""
        bias = self.common_bias.expand(len(seen))
        if self.other_score is None:
            return ClassRows(seen[self._order], bias)
        weight = torch.cat([seen, self.other_score.weight])
        return ClassRows(weight[self._order], torch.cat([bias, self.other_score.bias])[self._order])


def build_head(settings: HeadSettings, source: ClassRowSource, roi_width: int) -> ClassWeightHead:
    """Return the head of a method."""
    if settings.method == "faster-rcnn":
        return LinearHead(source, roi_width, settings.prior)
    return WeightTransferHead(source, roi_width, settings)


def prior_bias(prior: float) -> float:
    """Return the bias at which a sigmoid gives ``prior`` (Lin et al., ICCV 2017, section 4.1)."""
    return -math.log((1 - prior) / prior)


def nearest_rows(rows: Tensor, candidates: Tensor) -> Tensor:
    """Return for each of ``[K, d]`` rows the index of the candidate with the highest cosine."""
    return (F.normalize(rows, dim=1) @ F.normalize(candidates, dim=1).T).argmax(dim=1)


def _prior_linear(in_features: int, out_features: int, prior: float) -> nn.Linear:
    layer = nn.Linear(in_features, out_features)
    nn.init.normal_(layer.weight, std=0.001)
    nn.init.constant_(layer.bias, prior_bias(prior))
    return layer
