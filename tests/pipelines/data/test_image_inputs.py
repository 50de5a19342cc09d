"""Tests for pipelines.data.image_inputs: which pictures are meant, and in which order."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.image_inputs import find_images, natural_order
from pipelines.errors import DatasetError


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """Return a folder of video frames, with other files between them."""
    for name in ("frame10.jpg", "frame2.jpg", "frame1.png", "a/frame3.JPG", "a/b/frame4.jpg",
                 "notes.txt", ".frame5.jpg", "._frame1.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "frame9.jpg").mkdir()
    return tmp_path


ALL = ("a/b/frame4.jpg", "a/frame3.JPG", "frame1.png", "frame2.jpg", "frame10.jpg")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((".",), ALL),
        (("*.jpg",), ("frame2.jpg", "frame10.jpg")),
        (("frame?.*",), ("frame1.png", "frame2.jpg")),
        (("frame[12].*",), ("frame1.png", "frame2.jpg")),
        (("**",), ALL),
        (("**/*.[jJ][pP][gG]",), tuple(name for name in ALL if "png" not in name)),
        (("frame10.jpg", "frame2.jpg", "*.jpg"), ("frame10.jpg", "frame2.jpg")),
        (("notes.txt",), ("notes.txt",)),
        (("a", "frame1.png"), ("a/b/frame4.jpg", "a/frame3.JPG", "frame1.png")),
    ],
)  # fmt: skip
@pytest.mark.parametrize("absolute", [True, False])
def test_files_folders_and_patterns(
    frames: Path, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...],
    expected: tuple[str, ...], absolute: bool,
) -> None:  # fmt: skip
    """Inputs keep their order; a folder's images come in natural order; each comes once."""
    monkeypatch.chdir(frames)
    root = frames if absolute else Path()

    assert find_images([root / name for name in given]) == [root / name for name in expected]


def test_a_name_that_exists_is_no_pattern(tmp_path: Path) -> None:
    """Brackets in the name of a file or folder stand for themselves."""
    (tmp_path / "img[1].jpg").touch()
    (tmp_path / "img1.jpg").touch()
    (tmp_path / "[x]").mkdir()
    (tmp_path / "[x]" / "a.png").touch()

    found = find_images([tmp_path / "img[1].jpg", tmp_path / "[x]"])

    assert found == [tmp_path / "img[1].jpg", tmp_path / "[x]" / "a.png"]


def test_an_input_without_pictures_is_told(frames: Path) -> None:
    """It is refused, or told while the others are taken; if none is left, that is an error."""
    (frames / "empty").mkdir()
    bad = {"empty": "no image there", "x/*.jpg": "no image matches", "x.jpg": "no such image"}
    told: list[DatasetError] = []

    found = find_images([frames / "frame1.png", *(frames / name for name in bad)], told.append)

    assert found == [frames / "frame1.png"]
    assert {error.where: error.what for error in told} == {
        str(frames / name): what for name, what in bad.items()
    }
    for name, what in bad.items():
        with pytest.raises(DatasetError, match=what):
            find_images([frames / name])
        with pytest.raises(DatasetError, match="there is no image"):
            find_images([frames / name], told.append)


@given(st.lists(st.text("ab019./", max_size=6), max_size=6))
def test_natural_order_is_total(names: list[str]) -> None:
    """Any names can be sorted, and the order does not depend on the one that they came in."""
    paths = list(dict.fromkeys(map(Path, names)))

    assert sorted(paths, key=natural_order) == sorted(paths[::-1], key=natural_order)


@given(st.integers(0, 10**30), st.integers(0, 10**30))
def test_numbers_count_as_numbers(first: int, second: int) -> None:
    """However long, in folders and files."""
    assert (natural_order(Path(f"v{first}/f9.jpg")) < natural_order(Path(f"v{second}/f1.jpg"))) == (
        first < second
    )
