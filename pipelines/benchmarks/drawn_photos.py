"""JPEG files that cost about as much to decode as photographs, where there are none at hand.

Shapes: H and W, the size in pixels.
"""

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = (768, 1024)  # H and W, of most images of Open Images
_COARSEST = 4  # cells across, of the first of the patterns that are laid over each other
_QUALITY = 90
_GRAIN = 10.0  # standard deviation of the noise; a file then has about 300 kB, as in Open Images


def write_photos(path: Path, count: int) -> None:
    """Write a zip file of drawn JPEGs.

    Args:
        path: The file.
        count: How many.
    """
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for number in range(count):
            archive.writestr(f"drawn-{number:04}.jpg", _photo(np.random.default_rng(number)))


def _photo(random: np.random.Generator) -> bytes:
    """Return a JPEG of patterns, each finer and half as strong as the one before, and of grain."""
    height, width = SIZE
    pixels = np.full((height, width, 3), 128.0)
    cells, strength = _COARSEST, 64.0
    while cells < width:
        coarse = random.normal(0, strength, (cells * height // width, cells, 3))
        layer = Image.fromarray(np.uint8(np.clip(coarse + 128, 0, 255)))
        pixels += np.asarray(layer.resize((width, height), Image.Resampling.BICUBIC)) - 128.0
        cells, strength = cells * 2, strength / 2
    pixels += random.normal(0, _GRAIN, (height, width, 1))
    buffer = io.BytesIO()
    image = Image.fromarray(np.uint8(np.clip(pixels, 0, 255)))
    image.save(buffer, format="JPEG", quality=_QUALITY)
    return buffer.getvalue()
