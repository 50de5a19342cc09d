"""Tests for pipelines.head_rows: how class rows are stored, and files that are not as they say."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.errors import ArtifactError, ConfigError
from pipelines.head_rows import decode_rows, encode_rows

FILE = Path("head.safetensors")
ROWS = torch.tensor([[1.0, -0.5, 0.1], [20.0, 3.0, -40.0]])


@pytest.mark.parametrize(("precision", "bytes_of_rows"), [("float32", 24), ("float16", 12)])
def test_floats_are_stored_in_their_size(precision: str, bytes_of_rows: int) -> None:
    """Half of the space, and eleven significant bits."""
    tensors = encode_rows(ROWS, precision)

    assert {name: tensor.nbytes for name, tensor in tensors.items()} == {
        "cls_score.weight": bytes_of_rows
    }
    rows, read = decode_rows(FILE, tensors, precision, 2)
    assert read == precision
    torch.testing.assert_close(rows, ROWS, rtol=2**-11, atol=0)


def test_codes_have_a_scale_for_each_row() -> None:
    """One byte a number, and four for each row."""
    tensors = encode_rows(ROWS, "int8")

    assert tensors["cls_score.weight"].dtype == torch.int8
    assert tensors["cls_score.scale"].shape == (2,)
    rows, _ = decode_rows(FILE, tensors, "int8", 2)
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, ROWS, rtol=0, atol=40 / 254 * 1.001)
    torch.testing.assert_close(rows[0], ROWS[0], rtol=0, atol=1 / 254 * 1.001)


def test_a_number_too_large_for_float16_is_refused() -> None:
    """It would become infinite; the message names it and what to choose instead."""
    with pytest.raises(ConfigError, match=r"70000, is too large for float16(.|\n)*int8"):
        encode_rows(torch.tensor([[70000.0, 1.0]]), "float16")


def test_a_precision_of_a_later_version_is_refused() -> None:
    """What the header says is repeated."""
    with pytest.raises(ArtifactError, match="precision 'int4' are not known"):
        decode_rows(FILE, {"cls_score.weight": ROWS}, "int4", 2)


@pytest.mark.parametrize(
    ("tensors", "precision", "problem"),
    [
        ({}, "float32", "'cls_score.weight' is missing"),
        ({"cls_score.weight": ROWS}, "float16", "float32, not torch.float16"),
        ({"cls_score.weight": ROWS.to(torch.int8)}, "int8", "'cls_score.scale' is missing"),
        (
            {"cls_score.weight": ROWS.to(torch.int8), "cls_score.scale": torch.ones(3)},
            "int8",
            r"cls_score.scale has shape \[3\]",
        ),
        ({"cls_score.weight": ROWS[:1]}, "float32", r"cls_score.weight has shape \[1, 3\]"),
    ],
)
def test_tensors_that_belie_the_header_are_refused(
    tensors: dict[str, Tensor], precision: str, problem: str
) -> None:
    """A missing tensor, another type, another shape."""
    with pytest.raises(ArtifactError, match=problem):
        decode_rows(FILE, tensors, precision, 2)
