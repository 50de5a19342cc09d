"""Decode image files, measure them, and say what is unusual about them.

Shapes: H and W, an image's size in pixels.
"""

import io
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pipelines.errors import BadImageError

if TYPE_CHECKING:
    from torch import Tensor

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # whatever the suffix says; no other is tried
_NOT_AN_IMAGE = (  # what a damaged file makes Pillow raise
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
_ORIENTATION = 0x0112  # the EXIF tag; 1 is upright
_PNG_BIT_DEPTH = 24  # its byte in a PNG file; Pillow reduces 16-bit colours to 8 without a word


@dataclass(frozen=True)
class ImageFacts:
    """What an image file is.

    Args:
        format: Pillow's name of the format, such as ``JPEG``; None if it is unknown.
        mode: Pillow's name of the colour mode, such as ``RGB`` or ``CMYK``.
        bit_depth: Bits a channel as stored (of a palette: bits a pixel).
        size: Height and width in pixels as stored.
        orientation: Of EXIF, 1 to 8; 1 is upright.
        fault: Why it does not decode, or None.
    """

    format: str | None = None
    mode: str | None = None
    bit_depth: int = 8
    size: tuple[int, int] | None = None
    orientation: int = 1
    fault: str | None = None


def decode(content: bytes, where: str | Path, *, upright: bool = False) -> "Tensor":
    """Decode the bytes of an image file to RGB, uint8 ``[3, H, W]``; 16 bits become 8.

    Args:
        content: The bytes.
        where: The file, for the message.
        upright: Turn the picture as its EXIF orientation says. The boxes of a dataset refer to the
            pixels as they are stored, so there it is not turned.

    Raises:
        BadImageError: If they do not decode; ``where`` names the file.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return rgb_pixels(ImageOps.exif_transpose(image) if upright else image)
    except _NOT_AN_IMAGE as error:
        raise BadImageError(
            f"the image does not decode ({_reason(error)})",
            where=where,
            mend=f"Replace or remove the file. Read are {', '.join(_FORMATS)}.",
        ) from error


def rgb_pixels(image: Image.Image) -> "Tensor":
    """Return the RGB pixels of a picture as it is stored, uint8 ``[3, H, W]``; 16 bits become 8."""
    import torch  # which those who only list or measure images do without

    pixels = np.array(_eight_bits(image).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def stored_size(content: bytes) -> tuple[int, int] | None:
    """Return the height and width that an image file's header gives, or None.

    Args:
        content: The file or the start of it; None may mean that the start is too short.
    """
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            return image.height, image.width
    except _NOT_AN_IMAGE:
        return None


def probe(content: bytes) -> ImageFacts:
    """Say what an image file is and whether it decodes to its end; a bad file is no error."""
    known = ImageFacts()
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            depth = content[_PNG_BIT_DEPTH] if image.format == "PNG" else 8
            size = image.height, image.width
            known = ImageFacts(image.format, image.mode, depth, size)
            image.draft(image.mode, (1, 1))  # a JPEG is read to its end, but not drawn in full
            image.load()
            orientation = int(image.getexif().get(_ORIENTATION, 1))
    except _NOT_AN_IMAGE as error:
        return replace(known, fault=_reason(error))
    return replace(known, orientation=orientation if 1 <= orientation <= 8 else 1)


def _reason(error: BaseException) -> str:
    return "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey, which Pillow would clip at 255."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
