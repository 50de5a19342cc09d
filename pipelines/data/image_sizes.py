"""The sizes of images in pixels, as the files of the AE-WTN release list them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.data.tables import IntArray, read_table
from pipelines.errors import ConfigError, DatasetError, MismatchError

_COLUMNS = ("ImageID", "height", "width")
_ONE_SIZE = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")


@dataclass(frozen=True)
class ImageSizes:
    """Heights and widths.

    Args:
        sizes: Height and width by image id.
        default: The size of every image that is not listed, if there is one.
        source: The file, if there is one.
    """

    sizes: Mapping[str, tuple[int, int]]
    default: tuple[int, int] | None = None
    source: Path | None = None

    @classmethod
    def uniform(cls, height: int, width: int) -> "ImageSizes":
        """Return one size for all images."""
        return cls({}, (height, width))

    @classmethod
    def from_mapping(cls, sizes: Mapping[str, tuple[int, int]]) -> "ImageSizes":
        """Return the given heights and widths, by image id."""
        return cls(sizes)

    def of(self, image_ids: Sequence[str]) -> IntArray:
        """Return ``[n, 2]``, the height and width of each image.

        Raises:
            MismatchError: If the size of an image is not known.
        """
        found = [self.sizes.get(image_id, self.default) for image_id in image_ids]
        if None in found:
            raise MismatchError(
                f"the size of image {image_ids[found.index(None)]!r} is not known "
                f"({found.count(None)} of {len(found)} images)",
                where=self.source,
                mend="Add a line ImageID,height,width for each image.",
            )
        return np.array(found, np.int64).reshape(-1, 2)


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

    Raises:
        DatasetError: If the file is not such a table or a size is not a positive whole number.
    """
    table = read_table(path, text=_COLUMNS[:1], numbers=_COLUMNS[1:], header=_COLUMNS)
    sizes = np.stack([table.numbers[name] for name in _COLUMNS[1:]], axis=1)
    bad = ((sizes <= 0) | (sizes != sizes.round())).any(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DatasetError(
            f"an image cannot be {sizes[row, 0]:g} high and {sizes[row, 1]:g} wide",
            where=f"{path}:{table.lines[row]}",
            mend="Give height and width in pixels.",
        )
    images = table.text["ImageID"]
    names = (images.values[code] for code in images.codes.tolist())
    pairs = (tuple(pair) for pair in sizes.astype(np.int64).tolist())
    return ImageSizes(dict(zip(names, pairs, strict=True)), source=path)
