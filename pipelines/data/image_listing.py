"""Find the image files in a folder, a zip file or a tar file, and where their bytes are.

Shapes: n files.

An archive's table of contents is read, never a member; a tar file, which has none, is gone through
from header to header. Nothing that could lead out of its source is listed as an image.
"""

import os
import stat
import tarfile
import zipfile
import zlib
from array import array
from collections.abc import Iterator
from pathlib import Path

from pipelines.data.image_bytes import Method
from pipelines.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}
_END_OF_TAR = bytes(tarfile.BLOCKSIZE)


class Listing:
    """The images of one source, in the order in which they were found.

    Attributes:
        names: ``[n]``, paths in the source, with ``/`` between their parts.
        start: ``[n]``, where the member is in the archive, in bytes; 0 for a file in a folder.
        length: ``[n]``, how many bytes it takes there; 0 for a file in a folder.
        method: ``[n]``, how it is stored, a :class:`Method`.
        crc: ``[n]``, the checksum of a zip file; 0 where there is none.
        unsafe: Images left out: they lead out of the source, are links in an archive, or their name
            is not UTF-8.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.start, self.length, self.method, self.crc = (array(code) for code in "qqBI")
        self.unsafe: list[str] = []

    def add(self, name: str, start: int, length: int, method: Method, crc: int = 0) -> None:
        """Add a file, unless its name is unsafe."""
        if _leads_out(name) or not _is_utf8(name):
            self.refuse(name)
            return
        self.names.append(name)
        self.start.append(start)
        self.length.append(length)
        self.method.append(method)
        self.crc.append(crc)

    def refuse(self, name: str) -> None:
        """Add a name to those left out."""
        self.unsafe.append(name.encode(errors="backslashreplace").decode())


def list_images(source: Path) -> Listing:
    """List the images in a folder with its subfolders, a zip file or a tar file.

    Hidden files and folders, and those that macOS adds to archives, are not looked at.

    Raises:
        DatasetError: If it is none of these, damaged, closed to the user, or a compressed tar file.
    """
    if source.is_dir():
        return _list_folder(source)
    if not source.is_file():
        raise DatasetError("no such folder, zip file or tar file", where=source)
    try:
        with source.open("rb") as file:
            magic = file.read(8)
    except OSError as error:
        raise DatasetError(f"cannot be read ({error.strerror})", where=source) from error
    _refuse_compressed(source, magic)
    if _is_tar(source):
        return _list_tar(source)
    if magic.startswith(b"PK") or zipfile.is_zipfile(source):
        return _list_zip(source)
    raise DatasetError("not a folder, a zip file or a tar file", where=source)


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted; hidden ones are left out.

    There is none in what is no folder.
    """
    return sorted(folder / name for name, _ in image_entries(folder)) if folder.is_dir() else []


def image_entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield the path in a folder, and the entry, of each file that :func:`image_files` returns.

    Raises:
        DatasetError: If a folder cannot be read.
    """
    return (
        (name, entry) for name, entry in _walk(folder) if _is_image_name(name) and entry.is_file()
    )


def _list_folder(folder: Path) -> Listing:
    listing, root = Listing(), folder.resolve()
    for name, entry in _walk(folder):
        if entry.is_symlink():
            wanted = _is_image_name(name) or entry.is_dir()
            if wanted and not Path(entry.path).resolve().is_relative_to(root):
                listing.refuse(name)
                continue
        if _is_image_name(name) and entry.is_file():
            listing.add(name, 0, 0, Method.FILE)
    return listing


def _walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is below a folder but no folder, with its path there; links are not followed."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(root / folder) as entries:
                for entry in entries:
                    name = folder + entry.name
                    if _is_hidden(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name + "/")
                    else:
                        yield name, entry
        except OSError as error:
            raise DatasetError(
                f"the folder cannot be read ({error.strerror})", where=root / folder
            ) from error


def _list_zip(source: Path) -> Listing:
    listing, size = Listing(), source.stat().st_size
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
        for member in members:
            if not 0 <= member.header_offset <= size - member.compress_size:
                raise zipfile.BadZipFile(f"{member.filename} is not inside it")
    except _DAMAGED_ZIP as error:
        raise DatasetError(
            f"the zip file is damaged ({error})", where=source, mend="Copy or make it again."
        ) from error
    for member in members:
        name = member.filename.replace("\\", "/")  # as some tools for Windows write it
        if member.is_dir() or not _is_image_name(name):
            continue
        if stat.S_ISLNK(member.external_attr >> 16):
            listing.refuse(name)
        else:
            place = member.header_offset, member.compress_size
            listing.add(name, *place, _zip_method(member), member.CRC)
    return listing


def _zip_method(member: zipfile.ZipInfo) -> Method:
    encrypted = member.flag_bits & 0x1
    if member.compress_type == zipfile.ZIP_STORED and not encrypted:
        return Method.ZIP_STORED
    if member.compress_type == zipfile.ZIP_DEFLATED and not encrypted:
        return Method.ZIP_DEFLATED
    return Method.UNREADABLE


def _list_tar(source: Path) -> Listing:
    listing = Listing()
    try:
        for member in _tar_members(source):
            name = member.name
            if not _is_image_name(name):
                continue
            if member.issym() or member.islnk():
                listing.refuse(name)
            elif member.isreg():
                method = Method.UNREADABLE if member.issparse() else Method.PLAIN
                listing.add(name, member.offset_data, member.size, method)
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise DatasetError(
            f"the tar file is damaged ({error})", where=source, mend="Copy or make it again."
        ) from error
    return listing


def _tar_members(source: Path) -> Iterator[tarfile.TarInfo]:
    with source.open("rb") as file, tarfile.TarFile(fileobj=file) as archive:
        while (member := archive.next()) is not None:
            archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
            yield member
        file.seek(archive.offset)  # next() takes a header that it cannot read for the end
        if file.read(tarfile.BLOCKSIZE) not in (b"", _END_OF_TAR):
            raise tarfile.ReadError(f"bad header at byte {archive.offset}")


def _is_tar(source: Path) -> bool:
    try:
        with tarfile.TarFile(source):
            return True
    except (tarfile.TarError, OSError, ValueError, EOFError):
        return False


def _refuse_compressed(source: Path, magic: bytes) -> None:
    for start, tool in _COMPRESSED.items():
        if magic.startswith(start):
            raise DatasetError(
                "a compressed tar file has no random access",
                where=source,
                mend=f"Undo the compression, and leave it packed: {tool} {source}",
            )


def _is_image_name(name: str) -> bool:
    stem, _, suffix = name.rpartition("/")[2].rpartition(".")
    if not stem or f".{suffix.lower()}" not in SUFFIXES:
        return False
    return not any(map(_is_hidden, name.split("/")))


def _is_hidden(part: str) -> bool:
    return (part.startswith(".") and part not in (".", "..")) or part == "__MACOSX"


def _leads_out(name: str) -> bool:
    return name.startswith("/") or name[1:3] == ":/" or ".." in name.split("/")


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
