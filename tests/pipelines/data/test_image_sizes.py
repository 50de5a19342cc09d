"""Tests for pipelines.data.image_sizes."""

from pathlib import Path

import pytest

from pipelines.data.image_sizes import ImageSizes, parse_image_sizes, read_image_sizes
from pipelines.errors import ConfigError, DatasetError, MismatchError


@pytest.fixture
def size_file(tmp_path: Path) -> Path:
    """Return a file with two images."""
    path = tmp_path / "sizes.txt"
    path.write_text("b,500,375\na,20,30\n")
    return path


def test_heights_come_before_widths(size_file: Path) -> None:
    """Sizes are given in the order asked for."""
    sizes = read_image_sizes(size_file)

    assert sizes.of(["a", "b", "a"]).tolist() == [[20, 30], [500, 375], [20, 30]]
    assert sizes.of([]).shape == (0, 2)


def test_one_size_can_serve_all_images() -> None:
    """Then no image is unknown."""
    assert ImageSizes.uniform(height=3, width=4).of(["a", "b"]).tolist() == [[3, 4], [3, 4]]


def test_one_size_is_written_width_first(size_file: Path) -> None:
    """As screens and cameras do; anything else is the path of a file."""
    assert parse_image_sizes("1024x768").of(["a"]).tolist() == [[768, 1024]]
    assert parse_image_sizes(str(size_file)).of(["a"]).tolist() == [[20, 30]]


@pytest.mark.parametrize(
    "text", ["0x0", "5x0", "\N{SUPERSCRIPT TWO}x3", "5x-3", "5x5\n", "", "none.csv"]
)
def test_neither_a_size_nor_a_file_is_refused(text: str) -> None:
    """Both sides are positive whole numbers in plain digits."""
    with pytest.raises(ConfigError, match="neither WIDTHxHEIGHT in pixels nor a file"):
        parse_image_sizes(text)


def test_an_unlisted_image_is_refused(size_file: Path) -> None:
    """The message names the file, the first such image and how many there are."""
    with pytest.raises(MismatchError) as error:
        read_image_sizes(size_file).of(["a", "c", "d"])

    assert str(error.value) == (
        f"{size_file}: the size of image 'c' is not known (2 of 3 images)\n"
        "Add a line ImageID,height,width for each image."
    )


@pytest.mark.parametrize(
    ("row", "what"), [("a,0,5", "0 high and 5"), ("a,2.5,5", "2.5 high and 5")]
)
def test_an_impossible_size_is_refused(tmp_path: Path, row: str, what: str) -> None:
    """A size is a positive whole number of pixels."""
    path = tmp_path / "sizes.txt"
    path.write_text(f"b,1,1\n{row}\n")

    with pytest.raises(DatasetError, match=rf"sizes\.txt:2: an image cannot be {what} wide"):
        read_image_sizes(path)


@pytest.mark.real_data
def test_the_sizes_of_the_release_are_read(real_data: Path) -> None:
    """The OI-57 file lists the 41,620 images of the Open Images validation split."""
    sizes = read_image_sizes(real_data / "open-images" / "val_600_sizes.txt")

    assert len(sizes.sizes) == 41_620
    assert sizes.of(["0001eeaf4aed83f9"]).tolist() == [[447, 1024]]
