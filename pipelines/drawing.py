"""Draw detections on an image: seen classes blue, novel classes red, as in the paper's Fig. 5."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

COLOURS = {"seen": "#1f5fd0", "novel": "#d0271f", "other": "#1b8a4a"}
SHORT_SIDE = 512  # a smaller picture is enlarged, so that its captions can be read
LONGEST_SIDE = 4096  # to which a thin one is enlarged at most
CROWDED_SHORT_SIDE = 1024  # the same where there are many of them
CROWD = 30  # boxes

Corners: TypeAlias = tuple[float, float, float, float]
FloatArray: TypeAlias = NDArray[np.float64]
Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont

_LONGEST_NAME = 24  # characters
_TALLEST = "Åg"  # from the top of an accent to the foot of a letter
_EDGE = "#ffffff"


@dataclass(frozen=True)
class LabelledBox:
    """A box ``(x1, y1, x2, y2)`` in pixels with its class name, score and class group."""

    box: tuple[float, float, float, float]
    name: str
    score: float
    group: str

    @property
    def caption(self) -> str:
        """The name, shortened if it is long, and the score."""
        name = self.name.strip()
        if len(name) > _LONGEST_NAME:
            name = name[: _LONGEST_NAME - 1].rstrip(" ,") + "…"
        return f"{name} {self.score:.2f}"


def draw_boxes(image: Tensor, boxes: Sequence[LabelledBox]) -> Image.Image:
    """Return a picture of a uint8 ``[3, H, W]`` image with boxes and captions.

    Captions do not cover each other; one that finds no free place at its box is left out. The first
    box comes out on top and has the first choice of a place: pass them by descending score.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    is_crowded = len(boxes) >= CROWD
    least = CROWDED_SHORT_SIDE if is_crowded else SHORT_SIDE
    scale = max(1.0, min(least / min(picture.size), LONGEST_SIDE / max(picture.size)))
    if scale > 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    short_side = min(picture.size)
    unit = max(1, short_side // 512)
    corners = [_corners(labelled, scale) for labelled in boxes]
    for labelled, box in zip(reversed(boxes), reversed(corners), strict=True):
        _outline(canvas, box, COLOURS[labelled.group], unit)
    font = ImageFont.load_default(size=max(8, short_side // (64 if is_crowded else 36)))
    taken = np.empty((0, 4))
    for labelled, box in zip(boxes, corners, strict=True):
        place = _free_place(
            box, _caption_size(canvas, labelled.caption, font, unit), picture.size, taken
        )
        if place is not None:
            _write(canvas, place, labelled, font, unit)
            taken = np.vstack([taken, place])
    return picture


def _corners(labelled: LabelledBox, scale: float) -> Corners:
    x1, y1, x2, y2 = (coordinate * scale for coordinate in labelled.box)
    return x1, y1, max(x1, x2), max(y1, y2)


def _outline(canvas: ImageDraw.ImageDraw, box: Corners, colour: str, unit: int) -> None:
    """Draw a thin line with a light edge outside, which shows it on pictures of its own colour."""
    x1, y1, x2, y2 = box
    canvas.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=_EDGE)
    canvas.rectangle(box, outline=colour, width=unit + 1)


def _places(box: Corners, width: float, height: float) -> Iterator[tuple[float, float]]:
    """Yield where a caption may start: above its box, below it, inside, and beside it."""
    x1, y1, x2, y2 = box
    for y in (y1 - height, y2, y1, y2 - height):
        for x in (x1, x2 - width, (x1 + x2 - width) / 2):
            yield x, y
    for y in (y1, y2 - height):
        yield from ((x2, y), (x1 - width, y))


def _free_place(
    box: Corners, size: tuple[float, float], picture: tuple[int, int], taken: FloatArray
) -> Corners | None:
    """Return the first place inside the picture that covers none of the taken ones ``[n, 4]``."""
    width, height = size
    for x, y in _places(box, width, height):
        x = max(0.0, min(x, picture[0] - width))
        place = (x, y, x + width, y + height)
        apart = (taken[:, :2] >= place[2:]).any(axis=1) | (taken[:, 2:] <= place[:2]).any(axis=1)
        if y >= 0 and y + height <= picture[1] and apart.all():
            return place
    return None


def _caption_size(
    canvas: ImageDraw.ImageDraw, caption: str, font: Font, unit: int
) -> tuple[float, float]:
    """Return width and height in pixels; all captions of a picture are equally high."""
    height = canvas.textbbox((0, 0), _TALLEST, font=font, anchor="la")[3]
    return canvas.textlength(caption, font=font) + 4 * unit, height + 2 * unit


def _write(
    canvas: ImageDraw.ImageDraw, place: Corners, labelled: LabelledBox, font: Font, unit: int
) -> None:
    canvas.rectangle(place, fill=COLOURS[labelled.group])
    start = (place[0] + 2 * unit, place[1] + unit)
    canvas.text(start, labelled.caption, fill="white", font=font, anchor="la")


def montage(pictures: Sequence[Image.Image], columns: int, gap: int = 8) -> Image.Image:
    """Return pictures side by side, row by row, on white, all brought to the first one's size."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        sheet.paste(picture.resize((width, height)), (column * (width + gap), row * (height + gap)))
    return sheet
