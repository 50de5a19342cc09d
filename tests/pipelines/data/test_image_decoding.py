"""Tests for pipelines.data.image_decoding."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipelines.data.image_decoding import ImageFacts, decode, probe, stored_size
from pipelines.errors import DatasetError

HEIGHT, WIDTH = 5, 7
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(image: Image.Image | None = None, kind: str = "PNG", **options: object) -> bytes:
    """Return an image file's content."""
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> Image.Exif:
    """Return EXIF data that say: the stored rows are the picture's columns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_only_pictures_are_turned_upright() -> None:
    """The boxes of a dataset refer to the stored pixels; a picture is shown as it was taken."""
    content = encoded(exif=turned())
    stored = torch.from_numpy(PIXELS).permute(2, 0, 1)

    assert torch.equal(decode(content, "a"), stored)
    assert torch.equal(decode(content, "a", upright=True), stored.rot90(-1, (1, 2)))


BAD = {
    "empty": b"",
    "text": b"not an image",
    "cut PNG": encoded()[:60],
    "cut JPEG": encoded(kind="JPEG")[:200],
    "cut WebP": encoded(kind="WEBP")[:40],
    "broken PNG": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "TIFF": encoded(kind="TIFF"),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n",
}


@pytest.mark.parametrize("content", BAD.values(), ids=BAD)
def test_what_does_not_decode_is_named(content: bytes) -> None:
    """Bytes that are no whole image are an error of the dataset that names their place."""
    with pytest.raises(DatasetError, match="the image does not decode") as error:
        decode(content, "zip/a.jpg")
    assert error.value.where == "zip/a.jpg"
    assert probe(content).fault


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    """Grey, palette, transparent and CMYK images come out as three channels of bytes."""
    content = encoded(Image.new(mode, (WIDTH, HEIGHT)), "JPEG" if mode == "CMYK" else "PNG")

    pixels = decode(content, "a")

    assert (pixels.shape, pixels.dtype) == ((3, HEIGHT, WIDTH), torch.uint8)
    assert pixels.is_contiguous()


def test_sixteen_bits_are_scaled_to_eight() -> None:
    """Grey values above 255 are not all white."""
    grey = (np.arange(HEIGHT * WIDTH, dtype=np.uint16) * 1800).reshape(HEIGHT, WIDTH)

    pixels = decode(encoded(Image.fromarray(grey)), "a")

    assert pixels[1].tolist() == (grey >> 8).tolist()


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (encoded(), ImageFacts("PNG", "RGB", 8, (HEIGHT, WIDTH))),
        (encoded(kind="JPEG", exif=turned()), ImageFacts("JPEG", "RGB", 8, (5, 7), orientation=6)),
        (
            encoded(Image.new("CMYK", (WIDTH, HEIGHT)), "JPEG"),
            ImageFacts("JPEG", "CMYK", 8, (HEIGHT, WIDTH)),
        ),
        (
            encoded(Image.new("I;16", (WIDTH, HEIGHT))),
            ImageFacts("PNG", "I;16", 16, (HEIGHT, WIDTH)),
        ),
        (b"text", ImageFacts(fault="unknown format")),
    ],
    ids=["PNG", "turned JPEG", "CMYK", "16 bits", "text"],
)
def test_facts_are_told(content: bytes, facts: ImageFacts) -> None:
    """Format, colour mode, depth, size, orientation, and what is wrong."""
    assert probe(content) == facts


def test_a_cut_image_still_tells_what_it_is() -> None:
    """The header is known though the pixels are not."""
    facts = probe(encoded(Image.fromarray(np.tile(PIXELS, (9, 9, 1))), "JPEG")[:-100])

    assert (facts.format, facts.size) == ("JPEG", (9 * HEIGHT, 9 * WIDTH))
    assert facts.fault is not None
    assert "truncated" in facts.fault


@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "BMP"]),
    damage=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
)
@pytest.mark.filterwarnings("ignore")
def test_damage_never_escapes(kind: str, damage: list[tuple[int, int]]) -> None:
    """Whatever bytes change, an image decodes or its fault is told."""
    content = bytearray(encoded(kind=kind))
    for place, value in damage:
        content[place % len(content)] = value

    facts = probe(bytes(content))

    if facts.fault is None:
        assert decode(bytes(content), "a").shape[1:] == facts.size
    stored_size(bytes(content))
