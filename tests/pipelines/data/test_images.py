"""Tests for pipelines.data.images: images by id from folders and archives."""

import io
import multiprocessing
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.images import ImageStore, open_images
from pipelines.errors import DatasetError

HEIGHT, WIDTH = 5, 7
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
EXPECTED = torch.from_numpy(PIXELS).permute(2, 0, 1)


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


def zip_of(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write files into a zip file."""
    with zipfile.ZipFile(path / "images.zip", "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path / "images.zip"


def plain_zip_of(path: Path, files: dict[str, bytes]) -> Path:
    """Write files into a zip file that does not compress."""
    return zip_of(path, files, zipfile.ZIP_STORED)


def tar_of(path: Path, files: dict[str, bytes], kind: str = "") -> Path:
    """Write files into a tar file, as ``tar`` does it: with ``./`` before the names."""
    with tarfile.open(path / "images.tar", f"w:{kind}") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path / "images.tar"


Store = Callable[[Path, dict[str, bytes]], Path]
LINKS = "it links out of the folder; pass the folder that it leads to,"
every_kind = pytest.mark.parametrize("store", [folder_of, zip_of, plain_zip_of, tar_of])


@every_kind
def test_images_are_named_by_id(tmp_path: Path, store: Store) -> None:
    """Subfolders and suffixes are not part of an id; other files, hidden ones too, are ignored."""
    png = encoded()
    hidden = {"__MACOSX/._b.png": b"", "__MACOSX/c.png": b"", ".d.png": b"", ".e/f.png": b""}
    files = {"b.PNG": png, "deep/a.0.png": png, "notes.txt": b"", ".png": b"", **hidden}

    images = open_images(store(tmp_path, files))

    assert tuple(images.ids) == ("a.0", "b")
    assert len(images) == 2
    assert "b" in images
    assert "._b" not in images
    assert 3 not in images
    assert images.unsafe == ()
    assert images.read_bytes("b") == png
    assert torch.equal(images.read("a.0"), EXPECTED)


@every_kind
def test_a_name_may_be_long_and_of_any_script(tmp_path: Path, store: Store) -> None:
    """Tar files keep such names apart from their header."""
    name = "Bild-é-画像-" + "x" * 110
    folder = "y" * 120

    images = open_images(store(tmp_path, {f"{folder}/{name}.png": encoded()}))

    assert tuple(images.ids) == (name,)
    assert torch.equal(images.read(name), EXPECTED)


@every_kind
def test_two_images_of_one_id_are_refused(tmp_path: Path, store: Store) -> None:
    """Which of two files an annotation means cannot be known."""
    path = store(tmp_path, {"train/a.png": encoded(), "val/a.jpg": encoded(kind="JPEG")})

    with pytest.raises(DatasetError, match=r"the id 'a': .*train/a.png and .*val/a.jpg"):
        open_images(path)


def test_sources_of_every_kind_make_one_store(tmp_path: Path) -> None:
    """The ids of all are sorted together, and each image is read where it is."""
    pixels = [np.full_like(PIXELS, 10 * k) for k in range(4)]
    kinds: list[Store] = [tar_of, folder_of, zip_of, plain_zip_of]
    paths = []
    for kind, name, content in zip(kinds, "dbca", map(encoded, pixels), strict=True):
        (tmp_path / name).mkdir()
        paths.append(kind(tmp_path / name, {f"{name}.png": content, f"{name}0.png": content}))

    images = open_images(*paths)

    assert images.sources == tuple(paths)
    assert tuple(images.ids) == ("a", "a0", "b", "b0", "c", "c0", "d", "d0")
    assert [int(images.read(i)[0, 0, 0]) for i in ("a0", "b0", "c0", "d0")] == [30, 10, 20, 0]
    assert images.where("d0").startswith(f"{paths[0]}/")
    assert images.origin == ", ".join(map(str, paths))


def test_one_id_in_two_sources_is_refused(tmp_path: Path) -> None:
    """Both files are named."""
    folder, archive = (kind(tmp_path, {"a.png": encoded()}) for kind in (folder_of, zip_of))

    with pytest.raises(DatasetError) as error:
        open_images(folder, archive)
    assert f"'a': {archive}/a.png and {folder}/a.png" in str(error.value)


@every_kind
def test_a_store_without_images_is_refused(tmp_path: Path, store: Store) -> None:
    """Neither an empty folder nor an archive of other files is a dataset."""
    with pytest.raises(DatasetError, match="no images found"):
        open_images(store(tmp_path, {"notes.txt": b""}))


@every_kind
def test_a_missing_image_is_named(tmp_path: Path, store: Store) -> None:
    """Asking for an unknown id is an error of the dataset."""
    images = open_images(store(tmp_path, {"a.png": encoded()}))

    for ask in (images.read, images.read_bytes, images.where, lambda i: images.sizes(["a", i])):
        with pytest.raises(DatasetError, match="no image 'b'"):
            ask("b")


@every_kind
def test_columns_restore_a_store(tmp_path: Path, store: Store) -> None:
    """An index keeps arrays of one dimension; nothing is listed again, in any process."""
    path = store(tmp_path, {"a.png": encoded(), "b.png": b"", "../c.png": b""})
    images = open_images(path)
    images.read("a")  # opens the archive, which must not be in the way

    columns = {name: column.copy() for name, column in images.columns().items()}
    restored = pickle.loads(pickle.dumps(ImageStore.from_columns([path], columns)))

    assert all(column.ndim == 1 for column in columns.values())
    assert tuple(restored.ids) == ("a", "b")
    assert restored.unsafe == images.unsafe
    assert torch.equal(restored.read("a"), EXPECTED)


@pytest.mark.parametrize(
    ("spoil", "what"),
    [({"crc": None}, "no column 'crc'"), ({"start": np.zeros(3, np.int64)}, "different lengths")],
)
def test_columns_that_do_not_belong_together_are_refused(
    tmp_path: Path, spoil: dict[str, np.ndarray | None], what: str
) -> None:
    """A list of images is taken whole or not at all."""
    path = folder_of(tmp_path, {"a.png": encoded()})
    columns = open_images(path).columns() | spoil

    with pytest.raises(DatasetError, match=what):
        ImageStore.from_columns([path], {k: v for k, v in columns.items() if v is not None})


@every_kind
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # torch has threads, idle ones
def test_workers_share_an_open_store(tmp_path: Path, store: Store) -> None:
    """Forked processes that read at once never disturb each other."""
    contents = {f"{k}.png": encoded(np.full_like(PIXELS, k)) for k in range(40)}
    images = open_images(store(tmp_path, contents))
    images.read("0")

    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(images.read_bytes, images.ids)

    assert found == [contents[f"{image_id}.png"] for image_id in images.ids]


@every_kind
def test_sizes_come_from_headers(tmp_path: Path, store: Store) -> None:
    """Height before width, of the stored pixels, in the order asked for, of images cut off too."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    noise = np.random.default_rng(1).integers(0, 256, (300, 200, 3), dtype=np.uint8)
    far = encoded(PIXELS, "JPEG", comment=bytes(60_000), exif=exif)
    files = {"a.png": encoded(noise)[:50_000], "b.jpg": far, "c.webp": encoded(noise, "WEBP")}
    images = open_images(store(tmp_path, files))
    calls: list[tuple[int, int]] = []

    sizes = images.sizes(["c", "b", "a", "b"], lambda *call: calls.append(call))

    assert sizes.dtype == np.int32
    assert sizes.tolist() == [[300, 200], [5, 7], [300, 200], [5, 7]]
    assert calls[-1] == (4, 4)
    assert images.sizes([]).shape == (0, 2)


def test_an_image_without_a_size_is_named(tmp_path: Path) -> None:
    """What is no image has no size."""
    images = open_images(folder_of(tmp_path, {"a.png": b"text"}))

    with pytest.raises(DatasetError, match="header cannot be read") as error:
        images.sizes(["a"])
    assert error.value.where == images.where("a")


def test_an_image_that_was_left_out_is_explained(tmp_path: Path) -> None:
    """It is there, and yet it is missing."""
    (tmp_path / "secret.png").write_bytes(encoded())
    folder = folder_of(tmp_path, {"a.png": encoded()})
    (folder / "b.png").symlink_to(tmp_path / "secret.png")

    images = open_images(folder)
    with pytest.raises(
        DatasetError, match=rf"^{folder}/b\.png: the image 'b' is left out"
    ) as error:
        images.read("b")
    assert error.value.mend == f"Why: {LINKS} {tmp_path}."
    assert images.origin == f"{folder} (1 left out, first {folder}/b.png: {LINKS} {tmp_path})"

    (folder / "a.png").unlink()
    with pytest.raises(DatasetError, match="no images found") as error:
        open_images(folder)
    assert error.value.mend == f"1 left out, first {folder}/b.png: {LINKS} {tmp_path}."


def test_a_linked_folder_is_explained(tmp_path: Path) -> None:
    """Clusters often hold a dataset once and link to it."""
    folder, elsewhere = folder_of(tmp_path, {"a.png": encoded()}), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "train").symlink_to(elsewhere)

    assert open_images(folder).origin.endswith(f"{folder}/train: {LINKS} {elsewhere})")


def test_links_in_an_archive_are_explained(tmp_path: Path) -> None:
    """They lead nowhere that could be passed instead."""
    archive = zip_of(tmp_path, {"a.png": encoded(), "../b.png": encoded()})

    assert open_images(archive).origin == (
        f"{archive} (1 left out, first {archive}/../b.png: links in an archive, and names that "
        "lead out of it or are not UTF-8, are not read)"
    )


def test_positions_are_found_for_many_ids_at_once(tmp_path: Path) -> None:
    """Unknown ids have none; few and many ids are looked up differently, with one answer."""
    images = open_images(folder_of(tmp_path, {f"{k:03}.png": b"" for k in range(100)}))

    assert images.positions(["007", "x", "099"]).tolist() == [7, -1, 99]
    assert images.positions(["x", *images.ids]).tolist() == [-1, *range(100)]


@pytest.mark.real_data
@pytest.mark.parametrize("archive", ["coco128/images.zip", "tin200/val-novel.zip"])
def test_real_archives_are_read(real_data: Path, archive: str) -> None:
    """Every photograph has the size that its header gives."""
    images = open_images(real_data / archive)

    sizes = images.sizes(images.ids)

    assert [list(images.read(i).shape[1:]) for i in images.ids[::8]] == sizes[::8].tolist()
