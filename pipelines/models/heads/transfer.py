"""WTN, WTN+ and AE-WTN: a network turns classifier rows into detector rows.

Shapes: C classifier classes, S seen, O other, K any number of classes, d classifier width, H hidden
width, R RoI feature width, M RoIs. Source: Kuen et al., ICCV 2019, sections 3 and 4.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from pipelines.config import HeadSettings
from pipelines.models.heads.base import (
    ClassRows,
    ClassRowSource,
    SeenAndOtherHead,
    prior_bias,
    score,
)
from pipelines.models.losses import LabelTables, classification_loss
from pipelines.models.wtn import (
    Standardization,
    WeightTransfer,
    activity_loss,
    reconstruction_loss,
)

DECODER_STD = 0.001  # of the decoder's last layer at the start (release)


class Encoded(NamedTuple):
    """What the encoder made of some classes: hidden activations ``[K, H]`` and rows ``[K, R]``."""

    hidden: Tensor
    rows: Tensor


class WeightTransferHead(SeenAndOtherHead):
    """Seen classes score with transferred rows ``V = T(W)``, other classes with their own.

    WTN+ is WTN with standardised rows and a GroupNorm; AE-WTN adds a decoder G and the loss
    ``alpha * |G(T(W)) - W|`` (Eq. 1) over all C classes. By default one learned scalar bias serves
    all transferred classes, so a class that never had a box has one.

    Args:
        source: The classifier rows and how they meet the detection classes.
        roi_width: R.
        settings: Method and its numbers.
    """

    _rows: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, settings: HeadSettings) -> None:
        super().__init__(source, roi_width, settings.prior)
        self._settings = settings
        width, hidden = source.rows.shape[1], settings.hidden or roi_width
        self.transfer = nn.ModuleDict()
        self.transfer["encoder"] = encoder = WeightTransfer(width, hidden, roi_width, settings)
        if settings.zero_gamma:
            encoder.start_at_zero()
        if settings.reconstructs:
            self.transfer["decoder"] = decoder = WeightTransfer(roi_width, hidden, width, settings)
            decoder.start_small(DECODER_STD)
        self.standardize = Standardization(source.rows) if settings.standardizes else nn.Identity()
        biases = len(source.seen) if settings.bias == "per-class" else 1
        self.common_bias = nn.Parameter(torch.full((biases,), prior_bias(settings.prior)))
        with torch.no_grad():
            self.register_buffer("_rows", self.standardize(source.rows), persistent=False)

    def seen_class_rows(self) -> ClassRows:
        """Return the transferred rows of the seen classes."""
        return self._seen_class_rows(self._encode())

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Standardise with the statistics of training, and transfer."""
        weight: Tensor = self._encoder(self.standardize(rows))
        return ClassRows(weight, self.common_bias.mean().expand(len(weight)))

    def losses(self, x: Tensor, labels: Tensor, tables: LabelTables) -> dict[str, Tensor]:
        """Return the classification loss, and those of the reconstruction and the activity."""
        settings, encoded = self._settings, self._encode()
        logits = score(x, self.with_other(self._seen_class_rows(encoded)))
        found = {"loss_classifier": classification_loss(logits, labels, tables)}
        if settings.reconstructs:
            found["loss_reconstruction"] = settings.alpha * self._reconstruction_loss(encoded.rows)
        if settings.activity:
            loss = activity_loss(self._seen(encoded.hidden), settings.activity_reduction)
            found["loss_activity"] = settings.activity * loss
        return found

    def hidden_activations(self) -> Tensor:
        """Return the hidden activations ``[C, H]`` of all classes of the classifier."""
        return self._encoder.hidden(self._rows)

    @property
    def _encoder(self) -> WeightTransfer:
        encoder = self.transfer["encoder"]
        assert isinstance(encoder, WeightTransfer)
        return encoder

    @property
    def _encodes_all(self) -> bool:
        """Whether a loss, or the statistics of a BatchNorm, need the rows of all C classes."""
        everywhere = self._settings.reconstructs and self._settings.reconstructed == "all"
        return everywhere or self._settings.hidden_norm == "batch"

    def _encode(self) -> Encoded:
        """Encode all C classes, or only the S seen ones if the others would not be used."""
        hidden = self._encoder.hidden(
            self._rows if self._encodes_all else self._rows[self._seen_rows]
        )
        return Encoded(hidden, self._encoder.project(hidden))

    def _reconstruction_loss(self, encoded: Tensor) -> Tensor:
        target = self._rows
        if self._settings.reconstructed == "seen":
            encoded, target = self._seen(encoded), target[self._seen_rows]
        decoded = self.transfer["decoder"](encoded)
        return reconstruction_loss(decoded, target, self._settings.reconstruction)

    def _seen(self, encoded: Tensor) -> Tensor:
        return encoded[self._seen_rows] if self._encodes_all else encoded

    def _seen_class_rows(self, encoded: Encoded) -> ClassRows:
        weight = self._seen(encoded.rows)
        return ClassRows(weight, self.common_bias.expand(len(weight)))
