"""Images by id, from a folder or a zip file, without unpacking."""

import os
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor
from torchvision.io import ImageReadMode, decode_image

from pipelines.errors import DatasetError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


class ImageStore(ABC):
    """Images named by id: the file name without its suffix.

    Args:
        source: The folder or archive.
        names: File name of each image id, relative to the source.
    """

    def __init__(self, source: Path, names: dict[str, str]) -> None:
        self.source = source
        self._names = dict(sorted(names.items()))
        if not names:
            raise DatasetError(
                "no images found",
                where=source,
                mend=f"Expected {', '.join(sorted(SUFFIXES))} files.",
            )

    @property
    def ids(self) -> tuple[str, ...]:
        """All image ids, sorted."""
        return tuple(self._names)

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
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        image: Tensor = decode_image(encoded, ImageReadMode.RGB)
    except (RuntimeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise DatasetError(
            f"the image does not decode ({reason})", where=where, mend="Replace or remove the file."
        ) from error
    return image


class _ImageFolder(ImageStore):
    def __init__(self, source: Path) -> None:
        files = (path.relative_to(source) for path in sorted(source.rglob("*")))
        super().__init__(source, {f.stem: str(f) for f in files if f.suffix.lower() in SUFFIXES})

    def _bytes(self, name: str) -> bytes:
        return (self.source / name).read_bytes()


class _ImageZip(ImageStore):
    def __init__(self, source: Path) -> None:
        self._archives: dict[int, zipfile.ZipFile] = {}
        members = (PurePosixPath(name) for name in zipfile.ZipFile(source).namelist())
        super().__init__(source, {m.stem: str(m) for m in members if m.suffix.lower() in SUFFIXES})

    def _bytes(self, name: str) -> bytes:
        process = os.getpid()  # a file position must not be shared with a forked worker
        if process not in self._archives:
            self._archives[process] = zipfile.ZipFile(self.source)
        try:
            return self._archives[process].read(name)
        except zipfile.BadZipFile as error:
            raise DatasetError(f"{name} is damaged ({error})", where=self.source) from error
