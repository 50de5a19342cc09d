"""Read one member of an archive in place, from its byte range."""

import os
import struct
import weakref
import zlib
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from pipelines.errors import BadImageError, DatasetError

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature; lengths of the name and the extra field
_INFLATED_AHEAD = 1 << 12  # bytes that a prefix may take more when it is compressed

_MOVED = "Bring it back, or name the place where the images are now."


class Method(IntEnum):
    """How the bytes of an image are stored."""

    FILE = 0  # a file of its own in a folder
    PLAIN = 1  # as they are, in a tar file
    ZIP_STORED = 2  # as they are, behind a local header
    ZIP_DEFLATED = 3
    UNREADABLE = 4  # encrypted, sparse, or compressed by something else


class Place(NamedTuple):
    """Where a member is in its archive; see :class:`pipelines.data.image_listing.Listing`."""

    start: int
    length: int
    method: Method
    crc: int


ReadRange: TypeAlias = Callable[[int, int], bytes]  # of a start and a length, both in bytes


class Archive:
    """An archive that is opened when it is first read, once in each process.

    The file's position is neither used nor moved, so processes and threads may share it.

    Args:
        path: The archive.
        size: What it had in bytes when it was listed.
    """

    def __init__(self, path: Path, size: int) -> None:
        self.path, self.size = path, size
        self._descriptor: list[int] = []  # none, or the open file

    def read(self, start: int, length: int) -> bytes:
        """Return a range of its bytes.

        Raises:
            DatasetError: If the archive is missing, closed to the user, or not as it was listed;
                if the storage fails.
            ValueError: If it ends before.
        """
        if not self._descriptor:
            self._open()
        try:
            return _read_range(self._descriptor[0], start, length)
        except OSError as error:
            raise DatasetError(
                f"the archive of images cannot be read any more ({error.strerror})",
                where=self.path,
                mend="See to the storage that it is on.",
            ) from error

    def _open(self) -> None:
        try:
            opened = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise DatasetError(
                f"the archive of images cannot be read ({error.strerror})",
                where=self.path,
                mend=_MOVED,
            ) from error
        weakref.finalize(self, os.close, opened)
        found = os.fstat(opened).st_size
        if found != self.size:
            raise DatasetError(
                f"the archive has {found} bytes where it had {self.size} when it was listed",
                where=self.path,
                mend="List its images again: make the index anew.",
            )
        self._descriptor.append(opened)  # two threads may both come here; the first one serves

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": []}


def read_bytes(path: Path, limit: int | None = None) -> bytes:
    """Return the content of a file, or its first ``limit`` bytes.

    Raises:
        DatasetError: If it is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError as error:
        raise DatasetError(f"the image cannot be read ({error.strerror})", where=path) from error


def read_inside(folder: Path, name: str, limit: int | None = None) -> bytes:
    """Return the content of a file in a folder, or its first ``limit`` bytes.

    Raises:
        DatasetError: If it cannot be read, or leads out of the folder through a link or its name,
            or if the folder is gone.
    """
    path, root = folder / name, _existing(folder)
    try:
        inside = path.resolve().is_relative_to(root)
    except (OSError, RuntimeError, ValueError) as error:  # links in a circle, a byte 0
        raise DatasetError(f"the image cannot be read ({error})", where=path) from error
    if not inside:
        raise DatasetError("the image leads out of its folder", where=path)
    return read_bytes(path, limit)


def _existing(folder: Path) -> Path:
    try:
        return folder.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise DatasetError("the folder of images is gone", where=folder, mend=_MOVED) from error


def read_member(read: ReadRange, place: Place, where: str, limit: int | None = None) -> bytes:
    """Return the content of an archive's member, or its first ``limit`` bytes.

    Args:
        read: Gives ranges of the archive.
        place: Where the member is.
        where: Names it, for the message.
        limit: Enough bytes; a whole member is checked against its checksum.

    Raises:
        BadImageError: If it is damaged, cut off, or stored in a way that cannot be read in place.
        DatasetError: If the archive cannot be read at all.
    """
    if place.method is Method.UNREADABLE:
        raise BadImageError(
            "it is encrypted, sparse, or compressed by another method than deflate",
            where=where,
            mend="Pack the images again without this.",
        )
    try:
        start = place.start
        if place.method is not Method.PLAIN:
            start = _behind_local_header(read, start)
        stored = place.length if limit is None else min(place.length, limit + _INFLATED_AHEAD)
        content = read(start, stored)
        if place.method is Method.ZIP_DEFLATED:
            content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, limit or 0)
        if limit is None and place.method is not Method.PLAIN:
            _check_sum(content, place.crc)
    except (ValueError, zlib.error) as error:
        raise BadImageError(
            f"the image is damaged ({error})", where=where, mend="Copy or make the archive again."
        ) from error
    return content[:limit]


def _read_range(file: int, start: int, length: int) -> bytes:
    content = os.pread(file, length, start)
    while len(content) < length:  # one call returns 2 GiB at most
        more = os.pread(file, length - len(content), start + len(content))
        if not more:
            raise ValueError(f"the archive ends after {len(content)} of {length} bytes")
        content += more
    return content


def _behind_local_header(read: ReadRange, start: int) -> int:
    header = read(start, _LOCAL_HEADER.size)
    signature, name, extra = _LOCAL_HEADER.unpack(header)
    if signature != b"PK\3\4":
        raise ValueError("no header of a zip member where it should start")
    return start + _LOCAL_HEADER.size + int(name) + int(extra)


def _check_sum(content: bytes, crc: int) -> None:
    if zlib.crc32(content) != crc:
        raise ValueError("bad checksum")
