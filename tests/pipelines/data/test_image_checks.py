"""Tests for pipelines.data.image_checks."""

import io
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipelines.data import image_checks
from pipelines.data.annotations import Source
from pipelines.data.findings import Mentions
from pipelines.data.image_checks import check_image_files, check_unused
from pipelines.data.images import ImageStore, open_images

SIZE = (48, 40)


def test_every_image_is_told_in_order(tmp_path: Path) -> None:
    """A good image has nothing against it; one may have several things."""
    turned = Image.Exif()
    turned[0x0112] = 6
    _save(tmp_path, "a.jpg", _noise())
    _save(tmp_path, "b.jpg", _noise().convert("CMYK"), exif=turned)
    _save(tmp_path, "c.png", Image.fromarray(np.full(SIZE, 40_000, np.uint16)))
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "d.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "e.jpg").write_text("no image")
    (tmp_path / "f.jpg").write_bytes(b"")
    mentions = _mentions("../up", "e", "a", "missing", "b", "c", "d", "f")

    found = list(check_image_files(open_images(tmp_path), mentions, workers=3))

    assert [[(o.kind, o.action) for o in offences] for offences in found] == [
        [],
        [("image-unreadable", "refused")],
        [],
        [("image-missing", "refused")],
        [("image-cmyk", "converted"), ("image-exif-rotated", "kept")],
        [("image-16-bit", "converted")],
        [("image-truncated", "refused")],
        [("image-unreadable", "refused")],
    ]
    assert found[3][0].where == "boxes.csv:5"
    assert found[4][0].where == str(tmp_path / "b.jpg")


def test_a_damaged_member_is_unreadable(tmp_path: Path) -> None:
    """Its checksum is wrong; the other images of the archive are checked all the same."""
    content = io.BytesIO()
    _noise().save(content, "PNG")
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("a.png", content.getvalue())
        archive.writestr("b.png", content.getvalue())
    damaged = bytearray((tmp_path / "images.zip").read_bytes())
    damaged[damaged.index(b"IDAT") + 20] ^= 0xFF
    (tmp_path / "images.zip").write_bytes(damaged)

    first, second = check_image_files(open_images(tmp_path / "images.zip"), _mentions("a", "b"), 1)

    assert [o.kind for o in first] == ["image-unreadable"]
    assert second == []


def test_images_without_annotations_are_counted(tmp_path: Path) -> None:
    """Each is named; none of them is named if all are annotated."""
    for name in "abc":
        _save(tmp_path, f"{name}.png", _noise())
    store = open_images(tmp_path)

    (finding,) = check_unused(store, _mentions("b", "missing"))

    assert finding.actions == {"left out": 2}
    assert [o.image_id for o in finding.offences] == ["a", "c"]
    assert not list(check_unused(store, _mentions("c", "a", "b")))


def test_few_images_are_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more are read than the reader of the results can take; stopping early ends the threads."""
    _save(tmp_path, "a.png", _noise())
    reads, lock = 0, threading.Lock()
    read = ImageStore.read_bytes

    def counted(store: ImageStore, image_id: str) -> bytes:
        nonlocal reads
        with lock:
            reads += 1
        return read(store, image_id)

    monkeypatch.setattr(ImageStore, "read_bytes", counted)
    before = threading.active_count()

    with closing(check_image_files(open_images(tmp_path), _mentions(*["a"] * 500), 2)) as found:
        next(found)
        next(found)

    assert reads <= 2 + 2 * image_checks._READ_AHEAD
    assert threading.active_count() == before


def _mentions(*image_ids: str) -> Mentions:
    """Return images named in the lines of a file with a header."""
    count = len(image_ids)
    source = np.zeros(count, np.int64)
    return Mentions(image_ids, (Source(Path("boxes.csv")),), source, np.arange(count) + 2)


def _noise() -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def _save(folder: Path, name: str, image: Image.Image, **options: object) -> None:
    image.save(folder / name, **options)
