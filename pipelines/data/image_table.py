"""Where every image of a dataset is, in columns that an index can keep.

Shapes: n images, S sources.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.image_bytes import Method, Place
from pipelines.data.image_listing import SUFFIXES, Listing
from pipelines.data.string_table import StringTable
from pipelines.data.tables import IntArray
from pipelines.errors import DatasetError

_TEXTS = ("ids", "names", "unsafe")
_NUMBERS = {
    "source": np.uint16,
    "start": np.int64,
    "length": np.int64,
    "method": np.uint8,
    "crc": np.uint32,
}


@dataclass(frozen=True)
class ImageTable:
    """The images of some folders and archives, sorted by id.

    Args:
        sources: The folders and archives.
        source_sizes: ``[S]``, the size of each archive in bytes; 0 for a folder.
        ids: ``[n]``, distinct.
        names: ``[n]``, the path of each in its source.
        source: ``[n]``, positions in ``sources``.
        start: ``[n]``; this and the next three as :class:`pipelines.data.image_listing.Listing`
            has them.
        length: ``[n]``.
        method: ``[n]``.
        crc: ``[n]``.
        unsafe: Files left out, see ``Listing``.
    """

    sources: tuple[Path, ...]
    source_sizes: IntArray
    ids: StringTable
    names: StringTable
    source: NDArray[np.uint16]
    start: IntArray
    length: IntArray
    method: NDArray[np.uint8]
    crc: NDArray[np.uint32]
    unsafe: StringTable

    @classmethod
    def of(cls, sources: Sequence[Path], listings: Sequence[Listing]) -> "ImageTable":
        """Bring the images of all sources together.

        Raises:
            DatasetError: If there is none, or two have one id.
        """
        names = [name for listing in listings for name in listing.names]
        ids = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        numbers = _numbers(listings)
        table = cls(
            tuple(sources),
            np.array([0 if s.is_dir() else s.stat().st_size for s in sources], np.int64),
            ids=StringTable.of(ids[row] for row in order.tolist()),
            names=StringTable.of(names[row] for row in order.tolist()),
            unsafe=StringTable.of(_unsafe(sources, listings)),
            **{name: column[order] for name, column in numbers.items()},
        )
        table._refuse_none()
        table._refuse_duplicates()
        return table

    @classmethod
    def from_columns(
        cls, sources: Sequence[Path], columns: Mapping[str, NDArray[Any]]
    ) -> "ImageTable":
        """Return the table whose :meth:`columns` these are; no source is looked at.

        Raises:
            DatasetError: If a column is missing or of another length.
        """
        try:
            ids, names, unsafe = (
                StringTable(columns[f"{name}.text"], columns[f"{name}.ends"]) for name in _TEXTS
            )
            numbers = {name: columns[name] for name in _NUMBERS}
            sizes = columns["source_sizes"]
        except KeyError as error:
            raise DatasetError(f"the list of images has no column {error}") from error
        lengths = {len(names), *map(len, numbers.values())}
        if lengths != {len(ids)} or len(sizes) != len(sources):
            raise DatasetError("the list of images has columns of different lengths")
        return cls(tuple(sources), sizes, ids=ids, names=names, unsafe=unsafe, **numbers)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return everything but the sources, for :meth:`from_columns`."""
        columns = {name: getattr(self, name) for name in ("source_sizes", *_NUMBERS)}
        for name in _TEXTS:
            table: StringTable = getattr(self, name)
            columns |= {f"{name}.text": table.text, f"{name}.ends": table.ends}
        return columns

    def where(self, row: int) -> str:
        """Name the file of an image, for a message."""
        return f"{self.sources[self.source[row]]}/{self.names[row]}"

    def place(self, row: int) -> Place:
        """Return where an image is in its archive."""
        start, length, crc = (int(c[row]) for c in (self.start, self.length, self.crc))
        return Place(start, length, Method(self.method[row]), crc)

    def _refuse_none(self) -> None:
        if len(self.ids):
            return
        mend = f"Expected {', '.join(sorted(SUFFIXES))} files."
        if self.unsafe:
            mend = f"{len(self.unsafe)} left out, first {self.unsafe[0]}: "
            mend += f"{why_left_out(self.unsafe[0])}."
        origin = ", ".join(map(str, self.sources))
        raise DatasetError("no images found", where=origin or None, mend=mend)

    def _refuse_duplicates(self) -> None:
        for row, (image_id, after) in enumerate(pairwise(self.ids)):
            if image_id == after:
                first, second = sorted((self.where(row), self.where(row + 1)))
                raise DatasetError(
                    f"two images have the id {image_id!r}: {first} and {second}",
                    mend="The file name without its suffix is the id; keep one of them.",
                )


def why_left_out(file: str) -> str:
    """Say why a file is ``unsafe``, and what to do where that is known."""
    path = Path(file)
    if not path.is_symlink():
        return "links in an archive, and names that lead out of it or are not UTF-8, are not read"
    target = path.resolve()
    folder = target if target.is_dir() else target.parent
    return f"it links out of the folder; pass the folder that it leads to, {folder}"


def _numbers(listings: Iterable[Listing]) -> dict[str, NDArray[Any]]:
    columns: dict[str, list[NDArray[Any]]] = {
        name: [np.empty(0, d)] for name, d in _NUMBERS.items()
    }
    for number, listing in enumerate(listings):
        columns["source"].append(np.full(len(listing.names), number, np.uint16))
        for name in ("start", "length", "method", "crc"):
            columns[name].append(np.array(getattr(listing, name), _NUMBERS[name]))
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _unsafe(sources: Iterable[Path], listings: Iterable[Listing]) -> list[str]:
    pairs = zip(sources, listings, strict=True)
    return sorted(f"{source}/{name}" for source, listing in pairs for name in listing.unsafe)
