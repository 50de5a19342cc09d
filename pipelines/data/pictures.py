"""The forms in which a user hands over a picture: a file, or pixels of several libraries.

Shapes: H and W of a picture in pixels.
"""

from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipelines.data.image_bytes import read_bytes
from pipelines.data.image_decoding import decode, rgb_pixels
from pipelines.errors import ConfigError

Picture: TypeAlias = str | Path | Image.Image | Tensor | NDArray[np.uint8]


class ReadPicture(NamedTuple):
    """A picture in memory.

    Args:
        image: The file that it came from, if it did.
        pixels: uint8 RGB ``[3, H, W]`` on the CPU.
    """

    image: Path | None
    pixels: Tensor


def read_picture(picture: Picture) -> ReadPicture:
    """Return a picture's pixels.

    Args:
        picture: A file, see :func:`read_file`; or pixels, which are taken as they are: a PIL image,
            a uint8 RGB tensor ``[3, H, W]`` or a uint8 RGB array ``[H, W, 3]``.

    Raises:
        ConfigError: If it is nothing of the kind.
        DatasetError: If it does not decode.
    """
    if isinstance(picture, str | Path):
        return ReadPicture(Path(picture), read_file(Path(picture)))
    if isinstance(picture, Image.Image):
        return ReadPicture(None, rgb_pixels(picture))
    pixels = picture
    if isinstance(pixels, np.ndarray) and pixels.ndim == 3:
        pixels = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)  # its memory may be reused
    if not isinstance(pixels, Tensor) or pixels.ndim != 3 or len(pixels) != 3:
        raise _not_a_picture(picture)
    if pixels.dtype != torch.uint8 or not pixels.numel():
        raise _not_a_picture(picture)
    return ReadPicture(None, pixels.cpu())


def read_file(path: Path) -> Tensor:
    """Return the pixels of a file, uint8 RGB ``[3, H, W]``, turned as its EXIF orientation says.

    Raises:
        DatasetError: If it cannot be read or does not decode.
    """
    return decode(read_bytes(path), path, upright=True)


def _not_a_picture(given: object) -> ConfigError:
    kind = getattr(given, "dtype", type(given).__name__)
    shape = list(getattr(given, "shape", ()))
    return ConfigError(
        f"not a picture: {kind} {shape or ''}".rstrip(),
        mend="Give a file, a PIL image, a uint8 RGB tensor [3, H, W] or array [H, W, 3].",
    )
