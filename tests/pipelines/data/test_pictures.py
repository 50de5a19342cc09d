"""Tests for pipelines.data.pictures: pixels from files and from other libraries."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.pictures import read_picture
from pipelines.errors import ConfigError

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)  # H, W, RGB
EXPECTED = torch.tensor(PIXELS.transpose(2, 0, 1).copy())


@pytest.mark.parametrize(
    "picture",
    [
        PIXELS,
        np.asfortranarray(PIXELS),
        PIXELS[:, ::-1][:, ::-1],
        np.asarray(Image.fromarray(PIXELS)),
        EXPECTED,
        Image.fromarray(PIXELS),
        Image.fromarray(PIXELS).convert("RGBA"),
    ],
    ids=["array", "Fortran", "view", "read-only", "tensor", "PIL", "PIL with alpha"],
)
def test_pixels_are_taken_as_they_are(picture: object) -> None:
    """Red stays first, and rows stay rows."""
    image, pixels = read_picture(picture)

    assert image is None
    assert torch.equal(pixels, EXPECTED)


@pytest.mark.parametrize("kind", [str, Path])
def test_files_are_turned_upright(tmp_path: Path, kind: type) -> None:
    """As their EXIF orientation says; pixels bring none."""
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees clockwise
    Image.fromarray(PIXELS).save(tmp_path / "a.png", exif=exif)

    image, pixels = read_picture(kind(tmp_path / "a.png"))

    assert image == tmp_path / "a.png"
    assert torch.equal(pixels, EXPECTED.rot90(-1, (1, 2)))


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        torch.zeros(8, 8, 3, dtype=torch.uint8),
        torch.zeros(3, 8, 8),
        b"bytes",
    ],
    ids=["grey", "alpha", "empty", "channels last", "floats", "no picture"],
)
def test_other_pixels_are_refused(picture: object) -> None:
    """One message says what came and what may come."""
    with pytest.raises(ConfigError, match=r"not a picture: .*\n.*uint8 RGB tensor"):
        read_picture(picture)
