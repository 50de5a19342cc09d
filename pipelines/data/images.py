"""Images by id, from a folder or a zip file, without unpacking."""

import io
import os
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path, PurePath, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from pipelines.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})

# What a damaged file makes Pillow and zipfile raise; an encrypted member is a RuntimeError.
_NOT_AN_IMAGE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
_DAMAGED_MEMBER = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class ImageStore(ABC):
    """Images named by id: the file name without its suffix.

    Args:
        source: The folder or archive.
        files: All files in it, relative to it; those that are no images are ignored.

    Raises:
        DatasetError: If there is no image, or two of them have one id.
    """

    def __init__(self, source: Path, files: Iterable[PurePath]) -> None:
        self.source = source
        self._names: dict[str, str] = {}
        for file in sorted(files):
            if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
                continue
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
        """Return the content of one file."""


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


def decode(content: bytes, where: str | Path) -> Tensor:
    """Decode the bytes of a JPEG, PNG or WebP file to RGB, uint8 ``[3, H, W]``.

    Raises:
        DatasetError: If they do not decode; ``where`` names the file.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            pixels = np.array(image.convert("RGB"))
    except _NOT_AN_IMAGE as error:
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else error
        raise DatasetError(
            f"the image does not decode ({reason})", where=where, mend="Replace or remove the file."
        ) from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


class _ImageFolder(ImageStore):
    def __init__(self, source: Path) -> None:
        super().__init__(source, (path.relative_to(source) for path in source.rglob("*")))

    def _bytes(self, name: str) -> bytes:
        return (self.source / name).read_bytes()


class _ImageZip(ImageStore):
    def __init__(self, source: Path) -> None:
        self._archives: dict[int, zipfile.ZipFile] = {}
        with zipfile.ZipFile(source) as archive:
            super().__init__(source, map(PurePosixPath, archive.namelist()))

    def _bytes(self, name: str) -> bytes:
        process = os.getpid()  # a file position must not be shared with a forked worker
        if process not in self._archives:
            self._archives[process] = zipfile.ZipFile(self.source)
        try:
            return self._archives[process].read(name)
        except _DAMAGED_MEMBER as error:
            raise DatasetError(f"{name} is damaged ({error})", where=self.source) from error
