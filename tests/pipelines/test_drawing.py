"""Tests for pipelines.drawing: boxes, colours, and captions that can be read."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from pipelines import drawing
from pipelines.drawing import COLOURS, LabelledBox, draw_boxes, montage

GREY = torch.full((3, 600, 800), 128, dtype=torch.uint8)


def rgb(group: str) -> tuple[int, ...]:
    """Return a group's colour."""
    return tuple(bytes.fromhex(COLOURS[group][1:]))


def colours_in(picture: Image.Image) -> set[str]:
    """Return the groups whose colour is in a picture."""
    pixels = set(map(tuple, np.asarray(picture).reshape(-1, 3).tolist()))
    return {group for group in COLOURS if rgb(group) in pixels}


def captions_of(
    monkeypatch: pytest.MonkeyPatch, image: torch.Tensor, boxes: list[LabelledBox]
) -> list[tuple[tuple[float, ...], str]]:
    """Draw, and return the place and text of each caption."""
    written = []
    original = drawing._write

    def write(canvas, place, labelled, font, unit):  # noqa: ANN001, ANN202
        written.append((place, labelled.caption))
        original(canvas, place, labelled, font, unit)

    monkeypatch.setattr(drawing, "_write", write)
    draw_boxes(image, boxes)
    return written


def test_the_novel_colour_is_red_and_the_seen_colour_blue() -> None:
    """The colours are those of the paper's figure."""
    assert max(rgb("seen")) == rgb("seen")[2]
    assert max(rgb("novel")) == rgb("novel")[0]


@pytest.mark.parametrize("group", COLOURS)
def test_captions_can_be_read_on_their_colour(group: str) -> None:
    """White text has the contrast that WCAG 2 asks of large text, 3 to 1."""
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4
              for c in rgb(group)]  # fmt: skip
    luminance = np.dot(linear, (0.2126, 0.7152, 0.0722))

    assert 1.05 / (luminance + 0.05) > 3


@pytest.mark.parametrize("group", COLOURS)
def test_a_box_is_drawn_in_the_colour_of_its_group(group: str) -> None:
    """On the box's edge, beside a light line that shows it on any picture."""
    picture = draw_boxes(GREY, [LabelledBox((100, 200, 300, 400), "cat", 0.5, group)])

    assert picture.size == (800, 600)
    assert colours_in(picture) == {group}
    assert picture.getpixel((100, 300)) == rgb(group)
    assert picture.getpixel((99, 300)) == (255, 255, 255)
    assert picture.getpixel((200, 300)) == (128, 128, 128)


@pytest.mark.parametrize(("count", "size"), [(1, (1024, 512)), (drawing.CROWD, (2048, 1024))])
def test_a_small_picture_is_enlarged(count: int, size: tuple[int, int]) -> None:
    """More so for many boxes; they are enlarged with it."""
    image = torch.full((3, 64, 128), 128, dtype=torch.uint8)
    boxes = [LabelledBox((16, 32, 64, 48), "cat", 0.5, "seen")] * count

    picture = draw_boxes(image, boxes)

    assert picture.size == size
    scale = size[1] // 64
    assert picture.getpixel((16 * scale, 44 * scale)) == rgb("seen")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(*[st.floats(0, 500)] * 2, *[st.floats(0, 300)] * 2), min_size=1, max_size=60)
)
def test_captions_never_cover_each_other(corners: list[tuple[float, ...]]) -> None:
    """Wherever boxes lie, captions are apart and inside, and the first box has one."""
    boxes = [
        LabelledBox((x, y, x + width, y + height), f"class {i}", 0.5, "seen")
        for i, (x, y, width, height) in enumerate(corners)
    ]
    with pytest.MonkeyPatch.context() as patch:
        written = captions_of(patch, GREY, boxes)

    assert written[0][1] == "class 0 0.50"
    size = (1366, 1024) if len(boxes) >= drawing.CROWD else (800, 600)
    places = np.array([place for place, _ in written])
    assert (places >= 0).all()
    assert (places[:, 2:] <= np.array(size)).all()
    for i, place in enumerate(places):
        others = np.delete(places, i, axis=0)
        width = np.minimum(place[2], others[:, 2]) - np.maximum(place[0], others[:, 0])
        height = np.minimum(place[3], others[:, 3]) - np.maximum(place[1], others[:, 1])
        assert not ((width > 1e-9) & (height > 1e-9)).any()


def test_fifty_boxes_have_fifty_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where pairs of boxes share their corner: one caption moves to another place."""
    grid = [(80 * column + 2, 100 * row + 40) for row in range(5) for column in range(5)]
    boxes = [
        LabelledBox((x, y, x + side, y + side), "cat", 0.5, "seen")
        for x, y in grid
        for side in (60, 70)
    ]

    assert len(captions_of(monkeypatch, GREY, boxes)) == 50


def test_a_caption_without_a_free_place_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copies of a box use up its places, the first ones first; all boxes are drawn."""
    boxes = [LabelledBox((300, 300, 320, 320), f"class {i}", 0.5, "seen") for i in range(29)]

    written = captions_of(monkeypatch, GREY, boxes)

    assert [caption for _, caption in written] == [f"class {i} 0.50" for i in range(len(written))]
    assert 1 < len(written) < 29


@pytest.mark.parametrize(
    ("name", "caption"),
    [
        ("cat", "cat 0.50"),
        ("n" * 24, "n" * 24 + " 0.50"),
        ("n" * 25, "n" * 23 + "… 0.50"),
        ("European salamander, a, b, c", "European salamander, a… 0.50"),
    ],
)
def test_long_names_are_shortened(name: str, caption: str) -> None:
    """The score stays, and a name of 24 characters is not long."""
    assert LabelledBox((0, 0, 1, 1), name, 0.5, "seen").caption == caption


def test_a_caption_is_as_wide_as_its_text() -> None:
    """The background covers the text, with a margin on both sides."""
    canvas, font = ImageDraw.Draw(Image.new("RGB", (9, 9))), ImageFont.load_default(size=20)

    width, height = drawing._caption_size(canvas, "Ångström g", font, 2)

    left, top, right, bottom = canvas.textbbox((4, 2), "Ångström g", font=font, anchor="la")
    assert left >= 0
    assert top >= 0
    assert right <= width
    assert bottom <= height


def test_a_montage_has_cells_of_one_size() -> None:
    """Pictures go row by row; one of another size is brought to that of the first."""
    sheet = montage([Image.new("RGB", size, colour) for size, colour in
                     (((10, 6), "red"), ((20, 12), "lime"), ((10, 6), "blue"))], 2)  # fmt: skip

    assert sheet.size == (28, 20)
    assert sheet.getpixel((0, 0)) == (255, 0, 0)
    assert sheet.getpixel((27, 5)) == (0, 255, 0)
    assert sheet.getpixel((0, 14)) == (0, 0, 255)
    assert sheet.getpixel((14, 14)) == (255, 255, 255)
