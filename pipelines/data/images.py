"""Images by id, from a folder or a zip file, without unpacking."""

import io
import os
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from pipelines.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

# What a damaged file makes Pillow and zipfile raise; an encrypted member is a RuntimeError.
_NOT_AN_IMAGE = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)


class ImageStore(ABC):
    """Images named by id: the file name without its suffix.

    Args:
        source: The folder or archive.
        files: The image files in it, relative to it.

    Raises:
        DatasetError: If there is no image, or two of them have one id.
    """

    def __init__(self, source: Path, files: Iterable[PurePath]) -> None:
        self.source = source
        self._names: dict[str, str] = {}
        for file in sorted(files):
            if file.stem in self._names:
                raise DatasetError(
                    f"two images have the id {file.stem!r}: {self._names[file.stem]} and {file}",
                    where=source,
                    mend="The file name without its suffix is the id; keep one of them.",
                )
            self._names[file.stem] = str(file)
        if not self._names:
            raise DatasetError(
                "no images found",
                where=source,
                mend=f"Expected {', '.join(sorted(SUFFIXES))} files.",
            )

    @property
    def origin(self) -> str:
        """Name the folder or archive."""
        return str(self.source)

    @property
    def ids(self) -> tuple[str, ...]:
        """All image ids, sorted."""
        return tuple(sorted(self._names))

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._names

    def read(self, image_id: str) -> Tensor:
        """Decode an image to RGB, uint8 ``[3, H, W]``.

        Raises:
            DatasetError: If it is missing or does not decode.
        """
        if image_id not in self._names:
            raise DatasetError(f"no image {image_id!r}", where=self.source)
        name = self._names[image_id]
        return decode(self._bytes(name), f"{self.source}/{name}")

    @abstractmethod
    def _bytes(self, name: str) -> bytes:
        """Return the content of one file; raises DatasetError if it cannot be read."""


def open_images(source: Path) -> ImageStore:
    """Open a folder (searched with its subfolders) or a zip file of images.

    Raises:
        DatasetError: If there is neither, or no image in it.
    """
    if source.is_dir():
        return _ImageFolder(source)
    if source.is_file() and zipfile.is_zipfile(source):
        return _ImageZip(source)
    what = "not a folder or a zip file" if source.exists() else "no such folder or zip file"
    raise DatasetError(what, where=source)


def image_files(folder: Path) -> list[Path]:
    """Return the image files in a folder and its subfolders, sorted; hidden ones are left out."""
    return sorted(path for path in folder.rglob("*") if _is_image_name(path) and path.is_file())


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DatasetError: If it is missing or cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"the image cannot be read ({error.strerror})", where=path) from error


def decode(content: bytes, where: str | Path, *, upright: bool = False) -> Tensor:
    """Decode the bytes of a JPEG, PNG or WebP file to RGB, uint8 ``[3, H, W]``.

    Args:
        content: The bytes.
        where: The file, for the message.
        upright: Turn the picture as its EXIF orientation says. The boxes of a dataset refer to the
            pixels as they are stored, so there it is not turned.

    Raises:
        DatasetError: If they do not decode; ``where`` names the file.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = ImageOps.exif_transpose(image) if upright else image
            pixels = np.array(turned.convert("RGB"))
    except _NOT_AN_IMAGE as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise DatasetError(
            f"the image does not decode ({reason})", where=where, mend="Replace or remove the file."
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _is_image_name(file: PurePath) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


class _ImageFolder(ImageStore):
    def __init__(self, source: Path) -> None:
        super().__init__(source, (path.relative_to(source) for path in image_files(source)))

    def _bytes(self, name: str) -> bytes:
        return read_bytes(self.source / name)


class _ImageZip(ImageStore):
    def __init__(self, source: Path) -> None:
        self._archives: dict[int, zipfile.ZipFile] = {}
        try:
            with zipfile.ZipFile(source) as archive:
                names = [member.filename for member in archive.infolist() if not member.is_dir()]
        except _DAMAGED_ZIP as error:
            raise DatasetError(
                f"the zip file is damaged ({error})", where=source, mend="Copy or make it again."
            ) from error
        super().__init__(source, filter(_is_image_name, map(PurePosixPath, names)))

    def _bytes(self, name: str) -> bytes:
        process = os.getpid()  # a file position must not be shared with a forked worker
        try:
            if process not in self._archives:
                self._archives[process] = zipfile.ZipFile(self.source)
            return self._archives[process].read(name)
        except _DAMAGED_ZIP as error:
            raise DatasetError(f"{name} is damaged ({error})", where=self.source) from error
