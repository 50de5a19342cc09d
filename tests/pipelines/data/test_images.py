"""Tests for pipelines.data.images: images by id from folders and archives."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.images import decode, image_files, open_images
from pipelines.errors import DatasetError

HEIGHT, WIDTH = 5, 7
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(pixels: np.ndarray = PIXELS, kind: str = "PNG", **options: object) -> bytes:
    """Return an image file's content."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        (path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (path / "images" / name).write_bytes(content)
    return path / "images"


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into an archive."""
    with zipfile.ZipFile(path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path / "images.zip"


Store = Callable[[Path, dict[str, bytes]], Path]
both = pytest.mark.parametrize("store", [folder_of, zip_of])


@both
def test_images_are_named_by_id(tmp_path: Path, store: Store) -> None:
    """Subfolders and suffixes are not part of an id; other files, hidden ones too, are ignored."""
    png = encoded()
    files = {"b.PNG": png, "deep/a.png": png, "notes.txt": b"", "__MACOSX/._b.png": b""}

    images = open_images(store(tmp_path, files))

    assert images.ids == ("a", "b")
    assert "a" in images
    assert "._b" not in images
    assert torch.equal(images.read("a"), torch.from_numpy(PIXELS).permute(2, 0, 1))


@both
def test_two_images_of_one_id_are_refused(tmp_path: Path, store: Store) -> None:
    """Which of two files an annotation means cannot be known."""
    path = store(tmp_path, {"train/a.png": encoded(), "val/a.jpg": encoded(kind="JPEG")})

    with pytest.raises(DatasetError, match=r"the id 'a': train/a.png and val/a.jpg") as error:
        open_images(path)
    assert error.value.where == str(path)


@both
def test_a_store_without_images_is_refused(tmp_path: Path, store: Store) -> None:
    """Neither an empty folder nor an archive of other files is a dataset."""
    with pytest.raises(DatasetError, match="no images found"):
        open_images(store(tmp_path, {"notes.txt": b""}))


@both
def test_a_missing_image_is_named(tmp_path: Path, store: Store) -> None:
    """Asking for an unknown id is an error of the dataset."""
    with pytest.raises(DatasetError, match="no image 'b'"):
        open_images(store(tmp_path, {"a.png": encoded()})).read("b")


def test_neither_folder_nor_archive(tmp_path: Path) -> None:
    """A path that is missing, and a file that is no archive, are told apart."""
    (tmp_path / "file").write_bytes(b"no archive")

    with pytest.raises(DatasetError, match="not a folder or a zip file"):
        open_images(tmp_path / "file")
    with pytest.raises(DatasetError, match="no such folder or zip file"):
        open_images(tmp_path / "none")


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    """An archive whose list of members is damaged is an error of the dataset."""
    path = zip_of(tmp_path, {f"{name}.png": encoded() for name in "abc"})
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    path.write_bytes(content[: end - 60] + bytes(60) + content[end:])

    with pytest.raises(DatasetError, match="the zip file is damaged") as error:
        open_images(path)
    assert error.value.where == str(path)


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    """Whatever it is called, in a folder and in an archive."""
    folder = folder_of(tmp_path, {"a.png": encoded()})
    (folder / "img0.jpg").mkdir()
    archive = zip_of(tmp_path, {"a.png": encoded(), "img0.jpg/": b""})

    assert open_images(folder).ids == open_images(archive).ids == ("a",)
    assert image_files(folder) == [folder / "a.png"]


def test_an_image_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that went away or is closed to the user is an error of the dataset."""
    folder = folder_of(tmp_path, {"a.png": encoded()})
    images = open_images(folder)
    (folder / "a.png").unlink()
    (folder / "a.png").mkdir()

    with pytest.raises(DatasetError, match="the image cannot be read") as error:
        images.read("a")
    assert error.value.where == str(folder / "a.png")


def test_only_pictures_are_turned_upright(tmp_path: Path) -> None:
    """The boxes of a dataset refer to the stored pixels; a picture is shown as it was taken."""
    exif = Image.Exif()
    exif[274] = 6  # EXIF orientation: the stored rows are the picture's columns
    content = encoded(exif=exif)
    stored = torch.from_numpy(PIXELS).permute(2, 0, 1)

    assert torch.equal(decode(content, "a"), stored)
    assert torch.equal(decode(content, "a", upright=True), stored.rot90(-1, (1, 2)))
    assert torch.equal(open_images(folder_of(tmp_path, {"a.png": content})).read("a"), stored)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    """Bytes that changed inside an archive are found, whatever the compression makes of them."""
    path = zip_of(tmp_path, {"a.png": encoded(np.tile(PIXELS, (20, 20, 1)))})
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)

    with pytest.raises(DatasetError, match=r"a\.png is damaged") as error:
        open_images(path).read("a")
    assert error.value.where == str(path)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"not an image", encoded()[:60], encoded(kind="JPEG")[:200],
        encoded(kind="WEBP")[:40], b"\x89PNG\r\n\x1a\n" + bytes(50),
    ],
    ids=["empty", "text", "cut PNG", "cut JPEG", "cut WebP", "broken PNG"],
)  # fmt: skip
def test_what_does_not_decode_is_named(content: bytes) -> None:
    """Bytes that are no whole image are an error of the dataset that names their place."""
    with pytest.raises(DatasetError, match="the image does not decode") as error:
        decode(content, "zip/a.jpg")
    assert error.value.where == "zip/a.jpg"


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    """Grey, palette, transparent and CMYK images come out as three channels of bytes."""
    buffer = io.BytesIO()
    image = Image.new(mode, (WIDTH, HEIGHT))
    image.save(buffer, "JPEG" if mode == "CMYK" else "PNG")

    pixels = decode(buffer.getvalue(), "a")

    assert (pixels.shape, pixels.dtype) == ((3, HEIGHT, WIDTH), torch.uint8)
    assert pixels.is_contiguous()
