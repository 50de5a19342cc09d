"""The weight transfer networks: classifier rows in, detector rows out, and back again.

Shapes: C classifier classes, K any number of rows, d classifier width, H hidden width, R RoI
feature width. Source: Kuen et al., ICCV 2019, sections 3 and 4; initialisation as in the release
(xternalz/AE-WTN, roi_box_predictors.py).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import HeadSettings

NORMS = (nn.GroupNorm, nn.BatchNorm1d)


class Standardization(nn.Module):
    """Shift and scale each of the d channels by its mean and spread over all C training rows.

    The statistics are those of training for ever: a class added later is standardised with them.

    Args:
        rows: ``[C, d]`` classifier rows.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        exact = rows.double()
        constant = rows.amax(dim=0) == rows.amin(dim=0)  # carries nothing, and stays 0
        std = exact.std(dim=0)  # unbiased, as the release
        self.register_buffer("mean", exact.mean(dim=0).to(rows.dtype))
        self.register_buffer("std", torch.where(constant, 1.0, std).to(rows.dtype))

    def forward(self, rows: Tensor) -> Tensor:
        """Standardise ``[K, d]`` rows."""
        return (rows - self.mean) / self.std


class WeightTransfer(nn.Sequential):
    """One half of the autoencoder: Linear, normalisation, LeakyReLU, dropout, Linear.

    A GroupNorm works within a row, so rows are independent: a subset of rows gives the subset of
    results, whatever else is transferred with it. A BatchNorm must see all rows in training.

    Args:
        in_width: Width of the rows that come in.
        hidden: H.
        out_width: Width of the rows that go out.
        settings: Normalisation (without one the first layer has a bias), slope, dropout, and how
            the linear layers start.
    """

    def __init__(self, in_width: int, hidden: int, out_width: int, settings: HeadSettings) -> None:
        norm = settings.hidden_norm
        layers: list[nn.Module] = [nn.Linear(in_width, hidden, bias=norm == "none")]
        if norm != "none":
            grouped = norm == "group"
            layers.append(
                nn.GroupNorm(settings.groups, hidden) if grouped else nn.BatchNorm1d(hidden)
            )
        layers.append(nn.LeakyReLU(settings.negative_slope))
        if settings.dropout:
            layers.append(nn.Dropout(settings.dropout))
        super().__init__(*layers, nn.Linear(hidden, out_width))
        for layer in self.linears:
            if settings.initialization == "msra":
                nn.init.normal_(layer.weight, std=math.sqrt(2 / layer.out_features))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def linears(self) -> list[nn.Linear]:
        """The two linear layers."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]

    def hidden(self, rows: Tensor) -> Tensor:
        """Return what the last layer sees of ``[K, in_width]`` rows: ``[K, H]``."""
        for layer in list(self)[:-1]:  # a slice would be a network of its own
            rows = layer(rows)
        return rows

    def project(self, hidden: Tensor) -> Tensor:
        """Return the rows ``[K, out_width]`` of hidden activations."""
        rows: Tensor = self[-1](hidden)
        return rows

    def start_at_zero(self) -> None:
        """Give the normalisation scale 0, so every output row starts at exactly 0 (release)."""
        for layer in self:
            if isinstance(layer, NORMS):
                nn.init.zeros_(layer.weight)

    def start_small(self, std: float) -> None:
        """Draw the last layer's weights from N(0, std), as the release does for the decoder."""
        nn.init.normal_(self.linears[-1].weight, std=std)


def activity_loss(hidden: Tensor, reduction: str) -> Tensor:
    """Return how active the hidden layer ``[K, H]`` is, as a mean over the K classes.

    Args:
        hidden: Activations that the last layer sees.
        reduction: ``sumsq`` squared length (Keras), ``l2`` length (Merity et al., 2017), ``mse``
            mean square of the activations (AWD-LSTM).
    """
    if reduction == "mse":
        return hidden.square().mean()
    lengths: Tensor = torch.linalg.vector_norm(hidden, dim=1)  # differentiable at 0, unlike a root
    return lengths.mean() if reduction == "l2" else lengths.square().mean()


def reconstruction_loss(reconstruction: Tensor, target: Tensor, kind: str) -> Tensor:
    """Return the mean distance of ``[C, d]`` reconstructed rows from the standardised rows.

    The target is the standardised matrix, not the raw one that Eq. (1) suggests (release). ``kind``
    is ``"smooth_l1"`` (beta 1) or ``"l2"``.
    """
    if kind == "smooth_l1":
        return F.smooth_l1_loss(reconstruction, target)
    return F.mse_loss(reconstruction, target)
