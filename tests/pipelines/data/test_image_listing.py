"""Tests for pipelines.data.image_listing: what counts as an image, and what is left out."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from pipelines.data.image_listing import image_files, list_images
from pipelines.errors import DatasetError

UNSAFE = ["../a.png", "b/../../c.png", "/d.png"]


def tar_with(path: Path, *members: tarfile.TarInfo) -> Path:
    """Write a tar file of members with four bytes each."""
    with tarfile.open(path / "images.tar", "w") as archive:
        for member in members:
            member.size = 4 if member.isreg() else 0
            archive.addfile(member, io.BytesIO(b"data"))
    return path / "images.tar"


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    """Return a member that is a link."""
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


def test_members_that_leave_an_archive_are_left_out(tmp_path: Path) -> None:
    """Absolute names, ``..`` and the drives and separators of Windows, in zip and in tar files."""
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for name in ["ok.png", *UNSAFE, "..\\e.png", "C:\\f.png"]:
            archive.writestr(name, b"data")
    tar = tar_with(tmp_path, *map(tarfile.TarInfo, ["ok.png", *UNSAFE]))

    in_zip, in_tar = list_images(tmp_path / "images.zip"), list_images(tar)

    assert in_zip.names == in_tar.names == ["ok.png"]
    assert in_zip.unsafe == [*UNSAFE, "../e.png", "C:/f.png"]
    assert in_tar.unsafe == UNSAFE


def test_links_in_archives_are_left_out(tmp_path: Path) -> None:
    """A link could lead anywhere."""
    symbolic = zipfile.ZipInfo("soft.png")
    symbolic.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("ok.png", b"data")
        archive.writestr(symbolic, "/etc/passwd")
    soft, hard = link("soft.png", tarfile.SYMTYPE, "x"), link("h.png", tarfile.LNKTYPE, "ok.png")
    device = link("device.png", tarfile.CHRTYPE, "")
    tar = tar_with(tmp_path, tarfile.TarInfo("ok.png"), soft, hard, device)

    assert list_images(tmp_path / "images.zip").unsafe == ["soft.png"]
    assert list_images(tar).unsafe == ["soft.png", "h.png"]
    assert list_images(tar).names == ["ok.png"]


def test_links_that_leave_a_folder_are_left_out(tmp_path: Path) -> None:
    """Links to files inside are images; those to files or folders outside are not followed."""
    folder = tmp_path / "images"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "a.png").write_bytes(b"data")
    (tmp_path / "secret.png").write_bytes(b"data")
    (folder / "b.png").symlink_to("deep/a.png")
    (folder / "c.png").symlink_to("../secret.png")
    (folder / "outside").symlink_to(tmp_path)
    (folder / "inside").symlink_to("deep")
    (folder / "gone.png").symlink_to("nothing.png")
    (tmp_path / "link").symlink_to(folder)

    for root in (folder, tmp_path / "link"):
        listing = list_images(root)
        assert sorted(listing.names) == ["b.png", "deep/a.png"]
        assert sorted(listing.unsafe) == ["c.png", "outside"]


def test_the_pictures_of_a_folder_may_be_links(tmp_path: Path) -> None:
    """A folder that the user names to look at its pictures is the user's own."""
    (tmp_path / "images").mkdir()
    (tmp_path / "a.png").write_bytes(b"data")
    (tmp_path / "images" / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "images" / "c.jpg").mkdir()
    (tmp_path / "images" / ".d.png").write_bytes(b"data")

    assert image_files(tmp_path / "images") == [tmp_path / "images" / "b.png"]


def test_a_name_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    """No annotation could name it, and no index could keep it."""
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).touch()

    listing = list_images(tmp_path)

    assert listing.names == []
    assert listing.unsafe == ["\\udcff.png"]


def test_a_folder_is_not_an_image(tmp_path: Path) -> None:
    """Whatever it is called."""
    (tmp_path / "folder" / "img0.jpg").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        archive.writestr("img0.jpg/", b"")
    folder = link("img0.jpg", tarfile.DIRTYPE, "")

    for source in (tmp_path / "folder", tmp_path / "images.zip", tar_with(tmp_path, folder)):
        assert list_images(source).names == []


def test_a_tar_file_that_ends_with_a_zip_file_is_a_tar_file(tmp_path: Path) -> None:
    """The end of a zip file is searched from behind, and found in such a file too."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("inner.png", b"data")
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        for name, content in {"outer.png": b"data", "images.zip": inner.getvalue()}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

    assert list_images(tmp_path / "images.tar").names == ["outer.png"]


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_a_compressed_tar_file_is_refused(tmp_path: Path, kind: str) -> None:
    """The message says how to make a plain one; Open Images comes compressed."""
    path = tmp_path / f"train_0.tar.{kind}"
    with tarfile.open(path, f"w:{kind}"):
        pass

    with pytest.raises(DatasetError, match="no random access") as error:
        list_images(path)
    assert error.value.mend is not None
    assert error.value.mend.endswith(
        f"{ {'gz': 'gunzip', 'bz2': 'bunzip2', 'xz': 'unxz'}[kind] } {path}"
    )


def test_neither_folder_nor_archive(tmp_path: Path) -> None:
    """A path that is missing, and a file that is no archive, are told apart."""
    (tmp_path / "file").write_bytes(b"no archive")

    with pytest.raises(DatasetError, match="not a folder, a zip file or a tar file"):
        list_images(tmp_path / "file")
    with pytest.raises(DatasetError, match="no such folder, zip file or tar file"):
        list_images(tmp_path / "none")


def test_a_damaged_zip_file_is_named(tmp_path: Path) -> None:
    """A list of members that is damaged, cut off, or names bytes outside the file."""
    path = tmp_path / "images.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in "abc":
            archive.writestr(f"{name}.png", b"data")
    content = path.read_bytes()
    end = content.rindex(b"PK\5\6")
    entry = content.index(b"PK\1\2")
    far = content[: entry + 42] + b"\xff\xff\xff\x00" + content[entry + 46 :]

    for damaged in (content[: end - 60] + bytes(60) + content[end:], content[:end], far):
        path.write_bytes(damaged)
        with pytest.raises(DatasetError, match="the zip file is damaged") as error:
            list_images(path)
        assert error.value.where == str(path)


@pytest.mark.parametrize("cut", [513, 1024 + 100, 2048 - 1])
def test_a_cut_tar_file_is_named(tmp_path: Path, cut: int) -> None:
    """In the content of a member, in the header of the next, or in its content."""
    path = tar_with(tmp_path, tarfile.TarInfo("a.png"), tarfile.TarInfo("b.png"))
    os.truncate(path, cut)

    with pytest.raises(DatasetError, match="the tar file is damaged") as error:
        list_images(path)
    assert error.value.where == str(path)


def test_a_damaged_tar_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    """Images behind it would be lost without a word."""
    path = tar_with(tmp_path, *map(tarfile.TarInfo, ["a.png", "b.png", "c.png"]))
    content = bytearray(path.read_bytes())
    content[1024:1030] = b"??????"
    path.write_bytes(content)

    with pytest.raises(DatasetError, match="bad header at byte 1024"):
        list_images(path)
