"""Rows of a matrix as 8-bit codes with one scale each.

Shapes: K rows, R columns.
"""

from typing import NamedTuple

import torch
from torch import Tensor

LARGEST_CODE = 127  # symmetric: -128 is not used, so that a row and its negative lose the same
_DROPPED_BITS = 0xFF  # of a scale's 24-bit significand; 16 + 7 bits of a code are exact in float32


class QuantizedRows(NamedTuple):
    """Codes ``[K, R]`` int8 and scales ``[K]`` float32: a row is its codes times its scale."""

    codes: Tensor
    scale: Tensor

    def dequantize(self) -> Tensor:
        """Return the rows ``[K, R]`` float32; no product is rounded."""
        return self.codes.float() * self.scale[:, None]


def quantize_rows(weight: Tensor) -> QuantizedRows:
    """Round each row to multiples of its largest magnitude / 127.

    Scales are rounded up to 16 significant bits. So rows that were quantised before come back
    bit for bit, however often. A row of zeros has scale 1, and so has one of denormal numbers,
    which become zeros.

    Args:
        weight: ``[K, R]`` float32, all finite.
    """
    exact = weight.detach().abs().amax(dim=1) / LARGEST_CODE
    rounded_up = (exact.view(torch.int32) + _DROPPED_BITS) & ~_DROPPED_BITS
    scale = torch.where(exact < torch.finfo().tiny, 1.0, rounded_up.view(torch.float32))
    codes = (weight.detach() / scale[:, None]).round().to(torch.int8)
    return QuantizedRows(codes, scale)
