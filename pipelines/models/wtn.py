"""The weight transfer networks: classifier rows in, detector rows out, and back again.

Shapes: C classifier classes, K any number of rows, d classifier width, H hidden width, R RoI
feature width. Source: Kuen et al., ICCV 2019, sections 3 and 4; initialisation as in the release
(xternalz/AE-WTN, roi_box_predictors.py).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
    """One half of the autoencoder: Linear, optional GroupNorm, LeakyReLU, Linear.

    The GroupNorm works within a row, so rows are independent: a subset of rows gives the subset of
    results, whatever else is transferred with it.

    Args:
        in_width: Width of the rows that come in.
        hidden: H.
        out_width: Width of the rows that go out.
        groups: Groups of the GroupNorm; None leaves it out and gives the first layer a bias (WTN).
        negative_slope: Of the LeakyReLU.
    """

    def __init__(
        self,
        in_width: int,
        hidden: int,
        out_width: int,
        *,
        groups: int | None,
        negative_slope: float,
    ) -> None:
        layers: list[nn.Module] = [nn.Linear(in_width, hidden, bias=groups is None)]
        if groups is not None:
            layers.append(nn.GroupNorm(groups, hidden))
        super().__init__(*layers, nn.LeakyReLU(negative_slope), nn.Linear(hidden, out_width))
        for layer in self.linears:
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def linears(self) -> list[nn.Linear]:
        """The two linear layers."""
        return [layer for layer in self if isinstance(layer, nn.Linear)]

    def start_at_zero(self) -> None:
        """Give the GroupNorm scale 0, so that every output row starts at exactly 0 (release)."""
        for layer in self:
            if isinstance(layer, nn.GroupNorm):
                nn.init.zeros_(layer.weight)

    def start_small(self, std: float) -> None:
        """Draw the last layer's weights from N(0, std), as the release does for the decoder."""
        nn.init.normal_(self.linears[-1].weight, std=std)


def reconstruction_loss(reconstruction: Tensor, target: Tensor, kind: str) -> Tensor:
    """Return the mean distance of ``[C, d]`` reconstructed rows from the standardised rows.

    The target is the standardised matrix, not the raw one that Eq. (1) suggests (release). ``kind``
    is ``"smooth_l1"`` (beta 1) or ``"l2"``.
    """
    if kind == "smooth_l1":
        return F.smooth_l1_loss(reconstruction, target)
    return F.mse_loss(reconstruction, target)
