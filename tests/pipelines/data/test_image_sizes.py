"""Tests for pipelines.data.image_sizes."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    ("row", "what"),
    [("a,0,5", "0 high and 5"), ("a,2.5,5", "2.5 high and 5"), ("a,5,3e9", "5 high and 3e\\+09")],
)
def test_an_impossible_size_is_refused(tmp_path: Path, row: str, what: str) -> None:
    """A size is a positive whole number of pixels."""
    path = tmp_path / "sizes.txt"
    path.write_text(f"b,1,1\n{row}\n")

    with pytest.raises(DatasetError, match=rf"sizes\.txt:2: an image cannot be {what} wide"):
        read_image_sizes(path)


def test_unknown_sizes_can_be_asked_for(size_file: Path) -> None:
    """They are 0, unless one size serves all images that are not listed."""
    sizes = read_image_sizes(size_file)

    assert sizes.known(["c", "b"]).tolist() == [[0, 0], [500, 375]]
    assert replace(sizes, default=(3, 4)).of(["c", "b"]).tolist() == [[3, 4], [500, 375]]
    assert ImageSizes.from_mapping({}).known(["c"]).tolist() == [[0, 0]]


def test_an_image_may_be_listed_again(tmp_path: Path) -> None:
    """With the same size; two sizes contradict each other, and both lines are named."""
    path = tmp_path / "sizes.txt"
    path.write_text("b,1,2\na,3,4\nb,1,2\n")

    assert read_image_sizes(path).of(["b", "a"]).tolist() == [[1, 2], [3, 4]]

    path.write_text("b,1,2\na,3,4\nb,2,1\n")
    with pytest.raises(DatasetError, match=r"sizes\.txt:3: image 'b' has another size in line 1"):
        read_image_sizes(path)


@given(
    listed=st.dictionaries(st.text(max_size=3), st.tuples(*[st.integers(1, 9)] * 2)),
    asked=st.lists(st.text(max_size=3), max_size=80),
)
def test_sizes_are_those_of_the_mapping(
    listed: dict[str, tuple[int, int]], asked: list[str]
) -> None:
    """For any ids, known or not, in any order."""
    expected = [list(listed.get(image_id, (0, 0))) for image_id in asked]

    assert ImageSizes.from_mapping(listed).known(asked).tolist() == expected


@pytest.mark.real_data
def test_the_sizes_of_the_release_are_read(real_data: Path) -> None:
    """The OI-57 file lists the 41,620 images of the Open Images validation split."""
    sizes = read_image_sizes(real_data / "open-images" / "val_600_sizes.txt")

    assert len(sizes.image_ids) == 41_620
    assert sizes.of(["0001eeaf4aed83f9"]).tolist() == [[447, 1024]]
