"""The sizes of images in pixels, as the files of the AE-WTN release list them.

Shapes: n listed images, m images asked for, r rows of a file.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.data.string_table import StringTable, positions_in
from pipelines.data.tables import FloatArray, IntArray, Table, read_table
from pipelines.errors import ConfigError, DatasetError, MismatchError

_COLUMNS = ("ImageID", "height", "width")
_ONE_SIZE = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")
LARGEST_SIDE = 2**31 - 1  # pixels; sizes are kept as int32


@dataclass(frozen=True)
class ImageSizes:
    """Heights and widths.

    Args:
        image_ids: ``[n]``, distinct, sorted.
        sizes: ``[n, 2]``, height and width of each.
        default: The height and width of every image that is not listed, if there is one.
        source: The file, if there is one.
    """

    image_ids: Sequence[str]
    sizes: NDArray[np.int32]
    default: tuple[int, int] | None = None
    source: Path | None = None

    @classmethod
    def uniform(cls, height: int, width: int) -> "ImageSizes":
        """Return one size for all images."""
        return cls((), np.empty((0, 2), np.int32), (height, width))

    @classmethod
    def from_mapping(cls, sizes: Mapping[str, tuple[int, int]]) -> "ImageSizes":
        """Return the given heights and widths, by image id."""
        image_ids = tuple(sorted(sizes))
        pairs = np.array([sizes[image_id] for image_id in image_ids], np.int32)
        return cls(image_ids, pairs.reshape(-1, 2))

    def known(self, image_ids: Sequence[str]) -> IntArray:
        """Return ``[m, 2]``, the height and width of each image; 0 where they are not known."""
        places = positions_in(self.image_ids, image_ids)
        unlisted = [self.default or (0, 0)]  # the last row, which is also row -1
        return np.concatenate([self.sizes, np.array(unlisted, np.int64)])[places]

    def of(self, image_ids: Sequence[str]) -> IntArray:
        """Return ``[m, 2]``, the height and width of each image.

        Raises:
            MismatchError: If the size of an image is not known.
        """
        sizes = self.known(image_ids)
        unknown = np.flatnonzero(sizes[:, 0] == 0)
        if len(unknown):
            raise MismatchError(
                f"the size of image {image_ids[int(unknown[0])]!r} is not known "
                f"({len(unknown)} of {len(image_ids)} images)",
                where=self.source,
                mend="Add a line ImageID,height,width for each image.",
            )
        return sizes


def parse_image_sizes(text: str) -> ImageSizes:
    """Understand ``WIDTHxHEIGHT`` in pixels, or the path of a file of sizes.

    Raises:
        ConfigError: If it is neither.
        DatasetError: As :func:`read_image_sizes` does.
    """
    if size := _ONE_SIZE.fullmatch(text):
        width, height = map(int, size.groups())
        return ImageSizes.uniform(height, width)
    if not Path(text).is_file():
        raise ConfigError(
            f"{text!r} is neither WIDTHxHEIGHT in pixels nor a file",
            mend="Give, for example, 1024x768, or a file of ImageID,height,width lines.",
        )
    return read_image_sizes(Path(text))


def read_image_sizes(path: Path) -> ImageSizes:
    """Read lines ``ImageID,height,width``; the file has no header.

    An image may be listed again with the same size, as in files put together from several.

    Raises:
        DatasetError: If the file is not such a table, a size is not a positive whole number, or an
            image has two sizes.
    """
    table = read_table(path, text=_COLUMNS[:1], numbers=_COLUMNS[1:], header=_COLUMNS)
    sizes = np.stack([table.numbers[name] for name in _COLUMNS[1:]], axis=1)
    _refuse_impossible(path, table, sizes)
    images = table.text["ImageID"]
    _, first = np.unique(images.codes, return_index=True)
    _refuse_contradiction(path, table, sizes, first)
    return ImageSizes(StringTable.of(images.values), sizes[first].astype(np.int32), source=path)


def _refuse_impossible(path: Path, table: Table, sizes: FloatArray) -> None:
    bad = ((sizes <= 0) | (sizes > LARGEST_SIDE) | (sizes != sizes.round())).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DatasetError(
            f"an image cannot be {sizes[row, 0]:g} high and {sizes[row, 1]:g} wide",
            where=f"{path}:{table.lines[row]}",
            mend="Give height and width in pixels.",
        )


def _refuse_contradiction(path: Path, table: Table, sizes: FloatArray, first: IntArray) -> None:
    """Raise DatasetError if a row (of r) differs from the first row of its image."""
    images = table.text["ImageID"]
    before = first[images.codes]  # [r]
    bad = (sizes != sizes[before]).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DatasetError(
            f"image {images.values[images.codes[row]]!r} has another size in line "
            f"{table.lines[before[row]]}",
            where=f"{path}:{table.lines[row]}",
            mend="Keep the line with the size of its file.",
        )
