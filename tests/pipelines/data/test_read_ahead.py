"""Tests for pipelines.data.read_ahead and pipelines.data.image_spans."""

import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipelines.data.images import ImageStore, open_images
from pipelines.data.read_ahead import ReadAhead
from pipelines.errors import BadImageError, DatasetError

COUNT = 40
Reads = list[tuple[int, int]]


def content(number: int) -> bytes:
    """Return bytes that no other image has, a few hundred of them."""
    return np.random.default_rng(number).bytes(300 + 7 * number)


def tar_of(path: Path) -> Path:
    """Write the images as a tar file, as ``tar -cf`` does."""
    for number in range(COUNT):
        (path / f"{number:02}.jpg").write_bytes(content(number))
    with tarfile.open(path / "images.tar", "w") as archive:
        for number in range(COUNT):
            archive.add(path / f"{number:02}.jpg", f"{number:02}.jpg")
    return path / "images.tar"


def zip_of(path: Path, method: int = zipfile.ZIP_STORED) -> Path:
    """Write the images as a zip file."""
    with zipfile.ZipFile(path / "images.zip", "w", method) as archive:
        for number in range(COUNT):
            archive.writestr(f"{number:02}.jpg", content(number))
    return path / "images.zip"


def deflated(path: Path) -> Path:
    """Write them compressed."""
    return zip_of(path, zipfile.ZIP_DEFLATED)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Return a list to which every read of an archive adds its place and its bytes."""
    found: Reads = []
    pread = os.pread

    def counted(file: int, length: int, start: int) -> bytes:
        read = pread(file, length, start)
        found.append((start, len(read)))
        return read

    monkeypatch.setattr(os, "pread", counted)
    return found


def ids(*numbers: int) -> list[str]:
    """Return the ids of images by their numbers."""
    return [f"{number:02}" for number in numbers]


@pytest.mark.parametrize("kind", [tar_of, zip_of, deflated])
def test_side_by_side_is_one_read(
    tmp_path: Path, kind: Callable[[Path], Path], reads: Reads
) -> None:
    """Ten images come from the archive at once, and each of them has its own content."""
    ahead = ReadAhead(open_images(kind(tmp_path)), capacity=10)
    window = ids(*range(10, 20))

    found = {image_id: ahead.read(image_id, window) for image_id in reversed(window)}

    assert found == {f"{number:02}": content(number) for number in range(10, 20)}
    ((_, length),) = reads
    assert 1 < length / sum(len(content(number)) for number in range(10, 20)) < 5  # and headers


def test_a_pass_reads_each_byte_about_once(tmp_path: Path, reads: Reads) -> None:
    """Whatever the order within windows: four reads, end to end, of nearly the whole archive."""
    path = tar_of(tmp_path)
    ahead = ReadAhead(open_images(path), capacity=COUNT)
    random = np.random.default_rng(0)

    for first in range(0, COUNT, 10):
        window = ids(*range(first, first + 10))
        for image_id in random.permutation(window).tolist():
            ahead.read(image_id, window)

    assert len(reads) == 4
    assert sum(length for _, length in reads) <= path.stat().st_size


def test_far_apart_is_two_reads(tmp_path: Path, reads: Reads) -> None:
    """What lies between two images is jumped over if it is long."""
    with tarfile.open(tmp_path / "images.tar", "w") as archive:
        for name, size in {"00.jpg": 300, "big.bin": 3 << 20, "01.jpg": 307}.items():
            (tmp_path / name).write_bytes(content(int(name[:2])) if size < 400 else bytes(size))
            archive.add(tmp_path / name, name)
    ahead = ReadAhead(open_images(tmp_path / "images.tar"), capacity=2)

    assert ahead.read("00", ids(0, 1)) == content(0)
    assert ahead.read("01", ids(0, 1)) == content(1)
    assert [length for _, length in reads] == [300, 307]


def test_only_so_many_wait(tmp_path: Path, reads: Reads) -> None:
    """The oldest are forgotten, and read again when they have their turn."""
    ahead = ReadAhead(open_images(tar_of(tmp_path)), capacity=4)

    ahead.read("00", ids(*range(8)))
    late = [ahead.read(image_id, ids(*range(8))) for image_id in ids(7, 1)]

    assert late == [content(7), content(1)]
    assert len(reads) == 2


def test_a_bad_image_spoils_no_other(tmp_path: Path, reads: Reads) -> None:
    """It is told when it has its turn, and the others of its window come from one read."""
    path = zip_of(tmp_path)
    packed = bytearray(path.read_bytes())
    packed[packed.index(content(3)) + 5] ^= 1
    path.write_bytes(packed)
    ahead = ReadAhead(open_images(path), capacity=COUNT)

    assert ahead.read("02", ids(2, 3, 4)) == content(2)
    with pytest.raises(BadImageError, match=r"images.zip/03.jpg: the image is damaged"):
        ahead.read("03", ids(2, 3, 4))
    assert ahead.read("04", ids(2, 3, 4)) == content(4)
    assert sum(length > 900 for _, length in reads) == 1  # bytes, of three images


def test_an_archive_that_goes_away_is_no_bad_image(tmp_path: Path) -> None:
    """One that was cut since it was listed neither: nothing of it can be trusted."""
    gone, cut = tar_of(tmp_path), zip_of(tmp_path)
    stores = [open_images(gone), open_images(cut)]
    gone.unlink()
    os.truncate(cut, 4000)

    for store, message in zip(stores, ["cannot be read", "has 4000 bytes"], strict=True):
        with pytest.raises(DatasetError, match=message) as error:
            ReadAhead(store, capacity=COUNT).read("00", ids(*range(COUNT)))
        assert not isinstance(error.value, BadImageError)


def test_an_archive_cut_while_it_is_read(tmp_path: Path) -> None:
    """Images before the cut still come; the first behind it is named."""
    path = tar_of(tmp_path)
    store = open_images(path)
    store.read_bytes("00")
    os.truncate(path, 10_000)

    ahead = ReadAhead(store, capacity=COUNT)
    assert ahead.read("01", ids(*range(COUNT))) == content(1)
    with pytest.raises(BadImageError, match=r"images.tar/39.jpg: the image is damaged \(the arch"):
        ahead.read("39", ids(*range(COUNT)))


def test_a_folder_has_nothing_side_by_side(tmp_path: Path) -> None:
    """Its files are read one by one, also where an archive is read beside it."""
    folder, packed = tmp_path / "folder", tmp_path / "packed"
    folder.mkdir()
    packed.mkdir()
    (folder / "own.jpg").write_bytes(b"file")
    store: ImageStore = open_images(folder, tar_of(packed))

    assert list(store.read_together(["own", *ids(1, 2)])) == ids(1, 2)
    assert ReadAhead(store, capacity=9).read("own", ["own", *ids(1, 2)]) == b"file"
