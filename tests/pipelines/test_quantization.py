"""Tests for pipelines.quantization."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.quantization import quantize_rows


@st.composite
def matrices(draw: st.DrawFn) -> Tensor:
    """Draw a few rows of ordinary numbers, each of a magnitude of its own."""
    columns = draw(st.integers(1, 6))
    number = st.floats(-1, 1, width=32)
    rows = draw(st.lists(st.lists(number, min_size=columns, max_size=columns), min_size=1))
    magnitudes = draw(st.lists(st.integers(-20, 20), min_size=len(rows), max_size=len(rows)))
    return torch.tensor(rows) * torch.tensor([[2.0**power] for power in magnitudes])


def test_codes_by_hand() -> None:
    """The largest number of a row becomes 127, and the others round to their share of it."""
    rows = quantize_rows(torch.tensor([[127.0, -1.0, 0.6], [0.25, -0.5, 0.0]]))

    assert rows.codes.tolist() == [[127, -1, 1], [63, -127, 0]]
    assert rows.codes.dtype == torch.int8
    torch.testing.assert_close(rows.scale, torch.tensor([1.0, 0.5 / 127]), rtol=2**-15, atol=0)


def test_a_row_of_zeros_stays_one() -> None:
    """It has scale 1; no division by zero. The same holds for numbers too small to have a scale."""
    rows = quantize_rows(torch.tensor([[0.0, 0.0], [0.0, 1e-40]]))

    assert rows.scale.tolist() == [1.0, 1.0]
    assert not rows.dequantize().any()


@given(weight=matrices())
def test_what_was_quantised_comes_back_bit_for_bit(weight: Tensor) -> None:
    """Storing a head again changes neither its codes nor its numbers."""
    once = quantize_rows(weight)

    again = quantize_rows(once.dequantize())

    assert torch.equal(again.codes, once.codes)
    assert torch.equal(again.scale, once.scale)
    assert torch.equal(again.dequantize(), once.dequantize())


@given(weight=matrices())
def test_no_number_moves_by_more_than_half_a_step(weight: Tensor) -> None:
    """A step is the row's largest magnitude / 127, rounded up by at most 1 in 32768.

    Only rows of numbers below 127 * 2**-126 are lost as a whole.
    """
    rows = quantize_rows(weight)

    step = weight.abs().amax(dim=1, keepdim=True) / 127 * (1 + 2**-15)
    assert ((rows.dequantize() - weight).abs() <= step * 0.5001 + 127 * 2.0**-126).all()


def test_products_are_exact() -> None:
    """Codes of 7 bits and scales of 16 have exact products in float32."""
    rows = quantize_rows(torch.randn(50, 20, generator=torch.Generator().manual_seed(0)))

    exact = rows.codes.double() * rows.scale.double()[:, None]

    assert torch.equal(rows.dequantize().double(), exact)
    assert rows.codes.abs().amax(dim=1).tolist() == pytest.approx([127] * 50, abs=0)
