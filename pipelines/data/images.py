"""Images by id, from folders, zip files and tar files, without unpacking.

Shapes: n images.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.data.image_bytes import Archive, Method, read_inside, read_member
from pipelines.data.image_decoding import decode, stored_size
from pipelines.data.image_listing import list_images
from pipelines.data.image_spans import read_members
from pipelines.data.image_table import ImageTable, why_left_out
from pipelines.data.string_table import position_in, positions_in
from pipelines.data.tables import IntArray
from pipelines.errors import BadImageError, DatasetError

if TYPE_CHECKING:
    from torch import Tensor

Progress: TypeAlias = Callable[[int, int], None]  # images done, and in all

OpenArchive: TypeAlias = Callable[[Path, int], Archive]  # of a path, and its size in bytes

_HEADER_BYTES = 1 << 15  # nearly always enough to know an image's size
_IMAGES_A_TASK = 256
_THREADS = 8  # they mostly wait for the disk


class Layout(NamedTuple):
    """Where images are stored.

    Args:
        order: ``[n]``, which comes first, second and so on: by source, then by place in it, and in
            a folder by id.
        length: ``[n]``, bytes of each; 0 in a folder.
    """

    order: IntArray
    length: IntArray


class ImageStore:
    """Images named by id: the file name without its suffix.

    It holds columns, and opens an archive when it first reads from it, so it costs little to hand
    to worker processes. Make one with :func:`open_images` or :meth:`from_columns`.

    Args:
        table: Where the images are.
        archive: How one is opened.
    """

    def __init__(
        self, table: ImageTable, archive: Callable[[Path, int], Archive] = Archive
    ) -> None:
        self._table = table
        pairs = zip(table.sources, table.source_sizes.tolist(), strict=True)
        self._archives = [archive(source, size) for source, size in pairs]

    @classmethod
    def from_columns(
        cls,
        sources: Sequence[Path],
        columns: Mapping[str, NDArray[Any]],
        archive: OpenArchive = Archive,
    ) -> "ImageStore":
        """Return the store whose :meth:`columns` these are; no source is looked at.

        Raises:
            DatasetError: If a column is missing or of another length.
        """
        return cls(ImageTable.from_columns(sources, columns), archive)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return everything but the sources as arrays of one dimension."""
        return self._table.columns()

    @property
    def ids(self) -> Sequence[str]:
        """All image ids, sorted."""
        return self._table.ids

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders and archives."""
        return self._table.sources

    @property
    def unsafe(self) -> tuple[str, ...]:
        """Files left out: they lead out of their source, are links, or have a name not in UTF-8."""
        return tuple(self._table.unsafe)

    @property
    def places(self) -> str:
        """Name the folders and archives."""
        return ", ".join(map(str, self.sources))

    @property
    def origin(self) -> str:
        """Name them, and what was left out: it may be what somebody misses."""
        unsafe = self.unsafe
        if not unsafe:
            return self.places
        why = why_left_out(unsafe[0])
        return f"{self.places} ({len(unsafe)} left out, first {unsafe[0]}: {why})"

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, image_id: object) -> bool:
        return isinstance(image_id, str) and position_in(self.ids, image_id) >= 0

    def positions(self, image_ids: Sequence[str]) -> IntArray:
        """Return where each id stands in ``ids``, or -1; faster than asking for each."""
        return positions_in(self.ids, image_ids)

    def where(self, image_id: str) -> str:
        """Name an image's file, for a message."""
        return self._table.where(self._row(image_id))

    def read(self, image_id: str) -> "Tensor":
        """Decode an image to RGB, uint8 ``[3, H, W]``.

        Raises:
            DatasetError: If it is missing or does not decode.
        """
        row = self._row(image_id)
        return decode(self._read(row), self._table.where(row))

    def read_bytes(self, image_id: str) -> bytes:
        """Return the content of an image's file.

        Raises:
            DatasetError: If it is missing or cannot be read.
        """
        return self._read(self._row(image_id))

    def read_together(self, image_ids: Sequence[str]) -> dict[str, bytes]:
        """Return the contents of images that lie side by side in an archive, by few long reads.

        One in a folder is left out, because it lies nowhere beside others, and so is a bad one.

        Raises:
            DatasetError: If one is missing, or an archive cannot be read.
        """
        rows = np.array([self._row(image_id) for image_id in image_ids])
        contents: dict[str, bytes] = {}
        for source in np.unique(self._table.source[rows]).tolist():
            inside = rows[self._table.source[rows] == source].tolist()
            members = {self.ids[row]: self._table.place(row) for row in inside}
            contents |= read_members(self._archives[source], members)
        return contents

    def layout(self, image_ids: Sequence[str]) -> Layout:
        """Return where images are stored.

        Raises:
            DatasetError: If one is missing.
        """
        rows = self._rows(image_ids)
        table = self._table
        return Layout(np.lexsort((table.start[rows], table.source[rows])), table.length[rows])

    def sizes(
        self,
        image_ids: Sequence[str],
        on_progress: Progress = lambda done, total: None,
        *,
        allow_bad: bool = False,
    ) -> NDArray[np.int32]:
        """Return ``[n, 2]``, height and width of each image as its header gives them.

        They are those of the stored pixels, to which the boxes of a dataset refer, whatever the
        EXIF orientation says.

        Args:
            image_ids: Which, in any order.
            on_progress: Called with the number of images done and in all.
            allow_bad: Give 0 for a bad image.

        Raises:
            DatasetError: If an image is missing, or its header cannot be read.
        """
        size_of = self._size_or_none if allow_bad else self._size
        rows, order = self._rows(image_ids), self.layout(image_ids).order
        tasks = [order[i : i + _IMAGES_A_TASK] for i in range(0, len(order), _IMAGES_A_TASK)]
        sizes, done = np.empty((len(rows), 2), np.int32), 0
        with ThreadPoolExecutor(_THREADS) as pool:
            measured = pool.map(lambda task: [size_of(int(row)) for row in rows[task]], tasks)
            for task, found in zip(tasks, measured, strict=True):
                sizes[task] = found
                done += len(task)
                on_progress(done, len(rows))
        return sizes

    def _size(self, row: int) -> tuple[int, int]:
        size = stored_size(self._read(row, _HEADER_BYTES)) or stored_size(self._read(row))
        if size is None:
            raise BadImageError(
                "the image's header cannot be read",
                where=self._table.where(row),
                mend="Replace or remove the file.",
            )
        return size

    def _size_or_none(self, row: int) -> tuple[int, int]:
        try:
            return self._size(row)
        except BadImageError:
            return 0, 0

    def _rows(self, image_ids: Sequence[str]) -> IntArray:
        rows = self.positions(image_ids)
        if (rows < 0).any():
            raise self._missing(image_ids[int((rows < 0).argmax())])
        return rows

    def _row(self, image_id: str) -> int:
        row = position_in(self.ids, image_id)
        if row < 0:
            raise self._missing(image_id)
        return row

    def _missing(self, image_id: str) -> DatasetError:
        left_out = [file for file in self.unsafe if PurePath(file).stem == image_id]
        if not left_out:
            return DatasetError(f"no image {image_id!r}", where=self.origin)
        return DatasetError(
            f"the image {image_id!r} is left out",
            where=left_out[0],
            mend=f"Why: {why_left_out(left_out[0])}.",
        )

    def _read(self, row: int, limit: int | None = None) -> bytes:
        place = self._table.place(row)
        archive = self._archives[self._table.source[row]]
        if place.method is Method.FILE:
            return read_inside(archive.path, self._table.names[row], limit)
        return read_member(archive.read, place, self._table.where(row), limit)


def open_images(*sources: Path) -> ImageStore:
    """List the images of folders (with their subfolders), zip files and tar files.

    Raises:
        DatasetError: If a source is none of these, is damaged or is a compressed tar file; if there
            is no image in all of them, or two have one id.
    """
    return ImageStore(ImageTable.of(sources, [list_images(source) for source in sources]))
