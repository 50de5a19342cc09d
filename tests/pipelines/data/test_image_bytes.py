"""Tests for pipelines.data.image_bytes: bytes of archives and folders, damaged ones too."""

import os
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.image_bytes import Archive, Method, Place, read_inside, read_member
from pipelines.data.images import open_images
from pipelines.errors import DatasetError

NOISE = np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8).tobytes()
DATA = NOISE + bytes(20_000)


def zip_of(path: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip file of one image, with an extra field between its header and its bytes."""
    member = zipfile.ZipInfo("a.png")
    member.extra = struct.pack("<HH4s", 0x9999, 4, b"more")
    with zipfile.ZipFile(path / "images.zip", "w") as archive:
        archive.writestr(member, DATA, method)
    return path / "images.zip"


def tar_of(path: Path) -> Path:
    """Write a tar file of one image."""
    (path / "a.png").write_bytes(DATA)
    with tarfile.open(path / "images.tar", "w") as archive:
        archive.add(path / "a.png", "a.png")
    return path / "images.tar"


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Archive, Place]]:
    """Return a deflated, a stored and a tar file."""
    paths = [
        zip_of(tmp_path_factory.mktemp("deflated")),
        zip_of(tmp_path_factory.mktemp("stored"), zipfile.ZIP_STORED),
        tar_of(tmp_path_factory.mktemp("tar")),
    ]
    found = []
    for path in paths:
        columns = open_images(path).columns()
        place = Place(
            int(columns["start"][0]),
            int(columns["length"][0]),
            Method(columns["method"][0]),
            int(columns["crc"][0]),
        )
        found.append((Archive(path, path.stat().st_size), place))
    return found


@given(kind=st.integers(0, 2), limit=st.none() | st.integers(1, 50_000))
def test_a_prefix_is_the_start_of_the_whole(
    archives: list[tuple[Archive, Place]], kind: int, limit: int | None
) -> None:
    """However the bytes are stored, and however many are asked for."""
    archive, place = archives[kind]

    assert read_member(archive.read, place, "a", limit) == DATA[:limit]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
@pytest.mark.parametrize("place", [0, 200, 19_000])
def test_a_damaged_member_is_named(tmp_path: Path, method: int, place: int) -> None:
    """Bytes that changed inside a zip file are found, be they its header or its content."""
    path = zip_of(tmp_path, method)
    images = open_images(path)
    content = bytearray(path.read_bytes())
    content[place : place + 60] = bytes(60)
    path.write_bytes(content)

    with pytest.raises(DatasetError, match="the image is damaged") as error:
        images.read_bytes("a")
    assert error.value.where == f"{path}/a.png"


def test_a_method_that_cannot_be_read_in_place_is_refused(tmp_path: Path) -> None:
    """Compression other than deflate, and encryption; the other images stay readable."""
    path = zip_of(tmp_path, zipfile.ZIP_BZIP2)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.png", b"plain")
        archive.writestr("c.png", b"secret")
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\1\2") + 8] |= 1  # the flag of encryption
    path.write_bytes(content)
    images = open_images(path)

    assert images.read_bytes("b") == b"plain"
    for image_id in "ac":
        with pytest.raises(DatasetError, match="it is encrypted, sparse, or compressed by another"):
            images.read_bytes(image_id)


def test_a_cut_member_is_named(tmp_path: Path) -> None:
    """A place behind the archive's end is told, with the member and the archive."""
    path = tar_of(tmp_path)
    archive = Archive(path, path.stat().st_size)
    end = path.stat().st_size

    with pytest.raises(DatasetError, match="the archive ends after 12 of 40 bytes") as error:
        read_member(archive.read, Place(end - 12, 40, Method.PLAIN, 0), f"{path}/a.png")
    assert error.value.where == f"{path}/a.png"


@pytest.mark.parametrize("kind", [zip_of, tar_of])
def test_an_archive_that_changed_is_refused(tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    """Bytes at the old places are other images; every read says so."""
    path = kind(tmp_path)
    images = open_images(path)
    os.truncate(path, 1000)

    for _ in range(2):
        with pytest.raises(DatasetError, match="has 1000 bytes where it had") as error:
            images.read_bytes("a")
        assert error.value.where == str(path)
    path.unlink()
    with pytest.raises(DatasetError, match="cannot be read"):
        images.read_bytes("a")


@pytest.mark.parametrize("kind", [zip_of, tar_of])
def test_a_copy_opens_the_archive_itself(tmp_path: Path, kind: Callable[[Path], Path]) -> None:
    """A process that gets a store as bytes has none of the files that the sender opened."""
    images = open_images(kind(tmp_path))
    images.read_bytes("a")
    copy = pickle.loads(pickle.dumps(images))
    del images  # closes its file

    assert copy.read_bytes("a") == DATA


def test_a_file_that_went_away_is_named(tmp_path: Path) -> None:
    """Or is closed to the user, or has become a folder."""
    (tmp_path / "a.png").write_bytes(DATA)
    images = open_images(tmp_path)
    (tmp_path / "a.png").unlink()
    (tmp_path / "a.png").mkdir()

    with pytest.raises(DatasetError, match="the image cannot be read") as error:
        images.read_bytes("a")
    assert error.value.where == str(tmp_path / "a.png")


@pytest.mark.parametrize(
    "name", ["../secret.png", "/etc/hostname", "link.png", "folder/secret.png"]
)
def test_nothing_outside_a_folder_is_read(tmp_path: Path, name: str) -> None:
    """Not by a name, nor by a link that was made after the folder was listed."""
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(DATA)
    (tmp_path / "images" / "link.png").symlink_to(tmp_path / "secret.png")
    (tmp_path / "images" / "folder").symlink_to(tmp_path)

    with pytest.raises(DatasetError, match="leads out of its folder"):
        read_inside(tmp_path / "images", name)


def test_links_in_a_circle_are_an_error(tmp_path: Path) -> None:
    """They lead nowhere."""
    (tmp_path / "a.png").symlink_to("b.png")
    (tmp_path / "b.png").symlink_to("a.png")

    with pytest.raises(DatasetError, match="the image cannot be read"):
        read_inside(tmp_path, "a.png")
