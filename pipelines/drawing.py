"""Draw detections on an image: seen classes blue, novel classes red, as in the paper's Fig. 5."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

COLOURS = {"seen": "#1f5fd0", "novel": "#d0271f", "other": "#1b8a4a"}
SHORT_SIDE = 512  # a smaller picture is enlarged, so that its labels can be read


@dataclass(frozen=True)
class LabelledBox:
    """A box ``(x1, y1, x2, y2)`` in pixels with its caption and its class group."""

    box: tuple[float, float, float, float]
    caption: str
    group: str


def draw_boxes(image: Tensor, boxes: Sequence[LabelledBox]) -> Image.Image:
    """Return a picture of a uint8 ``[3, H, W]`` image with boxes and captions.

    The first box comes out on top: pass them by descending score.
    """
    picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    scale = max(1.0, SHORT_SIDE / min(picture.size))
    if scale > 1:
        size = (round(picture.width * scale), round(picture.height * scale))
        picture = picture.resize(size, Image.Resampling.BICUBIC)
    canvas = ImageDraw.Draw(picture)
    unit = max(1, round(min(picture.size) / 256))
    font = ImageFont.load_default(size=7 * unit)
    for labelled in reversed(boxes):
        _draw(canvas, labelled, scale, unit, font)
    return picture


def _draw(
    canvas: ImageDraw.ImageDraw,
    labelled: LabelledBox,
    scale: float,
    unit: int,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
) -> None:
    colour = COLOURS[labelled.group]
    x1, y1, x2, y2 = (coordinate * scale for coordinate in labelled.box)
    canvas.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=colour, width=unit)
    left, top, right, bottom = canvas.textbbox((0, 0), labelled.caption, font=font)
    width, height = right - left + 2 * unit, bottom - top + 2 * unit
    x = max(0, min(x1, canvas.im.size[0] - width))  # keep the caption inside the picture
    y = y1 - height if y1 >= height else y1
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    canvas.text((x + unit - left, y + unit - top), labelled.caption, fill="white", font=font)


def montage(pictures: Sequence[Image.Image], columns: int, gap: int = 8) -> Image.Image:
    """Return equally sized pictures side by side, row by row, on white."""
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    size = (columns * (width + gap) - gap, rows * (height + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        sheet.paste(picture, (column * (width + gap), row * (height + gap)))
    return sheet
