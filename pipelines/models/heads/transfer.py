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
)
from pipelines.models.wtn import (
    Standardization,
    WeightTransfer,
    activity_loss,
    reconstruction_loss,
)

DECODER_STD = 0.001  # of the decoder's last layer at the start (release)


class Encoded(NamedTuple):
    """What the encoder made of some classes.

    Args:
        places: ``[K]`` int64, their classifier rows.
        hidden: ``[K, H]`` hidden activations.
        rows: ``[K, R]`` detector rows.
    """

    places: Tensor
    hidden: Tensor
    rows: Tensor

    def of(self, places: Tensor) -> "Encoded":
        """Return some of the classes, by classifier row, in any order."""
        if places is self.places:
            return self
        found = torch.searchsorted(self.places, places)
        return Encoded(places, self.hidden[found], self.rows[found])


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
    _all: Tensor
    _seen_rising: Tensor

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
        places = torch.arange(len(source.rows))
        self.register_buffer("_all", places, persistent=False)
        self.register_buffer("_seen_rising", source.seen_rows.sort().values, persistent=False)

    @property
    def computes_rows(self) -> bool:
        """Whether a network makes the rows: yes."""
        return True

    def seen_class_rows(self) -> ClassRows:
        """Return the transferred rows of the seen classes."""
        return self._seen_class_rows(self._encode_seen(self._seen_rows[:0]))

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Standardise with the statistics of training, and transfer."""
        weight: Tensor = self._encoder(self.standardize(rows))
        return ClassRows(weight, self.common_bias.mean().expand(len(weight)))

    def rows_and_losses(self) -> tuple[ClassRows, dict[str, Tensor]]:
        """Return the rows, and the losses of the reconstruction and of the activity."""
        settings, drawn = self._settings, self._draw()
        encoded = self._encode(self._wanted(drawn))
        seen = encoded.of(self._seen_rows)
        losses = {}
        if settings.reconstructs:
            loss = self._reconstruction_loss(encoded.of(drawn))
            losses["loss_reconstruction"] = settings.alpha * loss
        if settings.activity:
            loss = activity_loss(seen.hidden, settings.activity_reduction)
            losses["loss_activity"] = settings.activity * loss
        return self.with_other(self._seen_class_rows(seen)), losses

    def hidden_activations(self) -> Tensor:
        """Return the hidden activations ``[C, H]`` of all classes of the classifier."""
        return self._encoder.hidden(self._rows)

    @property
    def _encoder(self) -> WeightTransfer:
        encoder = self.transfer["encoder"]
        assert isinstance(encoder, WeightTransfer)
        return encoder

    def _draw(self) -> Tensor:
        """Return the classifier rows that are reconstructed this time."""
        settings = self._settings
        if not settings.reconstructs:
            return self._seen_rows[:0]
        pool = self._all if settings.reconstructed == "all" else self._seen_rows
        count = settings.reconstructed_count
        if count is None or count >= len(pool):
            return pool
        return pool[torch.randperm(len(pool))[:count].to(pool.device)]  # as on a CPU, anywhere

    def _rows_to_hold(self) -> ClassRows:
        """Encode what :meth:`rows_and_losses` does if dropout draws for every row of it."""
        others = self._draw() if self._settings.dropout else self._seen_rows[:0]
        return self.with_other(self._seen_class_rows(self._encode_seen(others)))

    def _encode_seen(self, others: Tensor) -> Encoded:
        """Return the seen classes, encoded together with others."""
        return self._encode(self._wanted(others)).of(self._seen_rows)

    def _wanted(self, drawn: Tensor) -> Tensor:
        """Return the classifier rows to encode: the seen ones and those drawn, rising."""
        batch_norm = self._settings.hidden_norm == "batch"  # with statistics of all classes
        if batch_norm or len(drawn) == len(self._rows):
            return self._all
        if len(drawn) == 0:
            return self._seen_rising
        wanted: Tensor = torch.cat([self._seen_rows, drawn]).unique()  # type: ignore[no-untyped-call]
        return wanted

    def _encode(self, places: Tensor) -> Encoded:
        """Encode the classes with these classifier rows; for some to be found, they rise."""
        everything = len(places) == len(self._rows)
        hidden = self._encoder.hidden(self._rows if everything else self._rows[places])
        return Encoded(places, hidden, self._encoder.project(hidden))

    def _reconstruction_loss(self, encoded: Encoded) -> Tensor:
        decoded = self.transfer["decoder"](encoded.rows)
        target = self._rows[encoded.places]
        return reconstruction_loss(decoded, target, self._settings.reconstruction)

    def _seen_class_rows(self, seen: Encoded) -> ClassRows:
        return ClassRows(seen.rows, self.common_bias.expand(len(seen.rows)))
