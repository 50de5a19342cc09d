"""Box files as large as the official ones, drawn at random, to measure the program on.

Shapes: n boxes of one chunk, C classes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError
from pipelines.storage import atomic_path

_HEADER = (
    "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,"
    "IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside\n"
)
_FLAG_RATES = (0.66, 0.25, 0.05, 0.05, 0.001)  # of the five Is... columns, as in Open Images V4
_IMAGES_PER_CHUNK = 1 << 16
_MICRO = 1_000_000  # coordinates have six decimals
_LEAST_EXTENT = 1_000  # millionths of the image: a box has an area in single precision too

Texts: TypeAlias = NDArray[np.bytes_]  # shorter values are filled up with NUL


def write_synthetic_boxes(
    path: Path, class_ids: Sequence[str], *, rows: int, images: int, seed: int = 0
) -> None:
    """Write valid boxes in the columns of the Open Images train file, sorted by image as it is.

    Few classes have most boxes (of 12.2 million, the first of 500 has about a million and the last
    some dozens), and few images many (of 1.74 million, the fullest has several hundred).

    Args:
        path: The CSV file.
        class_ids: ASCII ids, drawn from in random order of frequency.
        rows: How many boxes.
        images: How many images; each has at least one box.
        seed: Of the random numbers; the same seed gives the same file.

    Raises:
        ConfigError: If there is no image or class, or there are more images than boxes.
    """
    if not (class_ids and 1 <= images <= rows):
        raise ConfigError(
            f"cannot spread {rows} boxes of {len(class_ids)} classes over {images} images",
            mend="Each image needs a box, and each box a class.",
        )
    rng = np.random.default_rng(seed)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_HEADER.encode())
        for image_ids in _image_chunks(rng, rows, images):
            file.write(_csv_rows(_columns(rng, image_ids, class_ids, seed)))


def draw_sizes(images: int, seed: int = 0) -> NDArray[np.int32]:
    """Return ``[images, 2]``, heights and widths: as in Open Images, the longer side has 1024.

    Three in four images are wide, which is what groups of one aspect ratio depend on.
    """
    rng = np.random.default_rng(seed)
    sizes = np.stack([rng.integers(576, 1024, images), np.full(images, 1024)], axis=1)
    high = rng.random(images) < 0.25
    sizes[high] = sizes[high, ::-1]
    return sizes.astype(np.int32)


def _image_chunks(rng: np.random.Generator, rows: int, images: int) -> Iterator[Texts]:
    """Yield the image id of each row, for some images at a time."""
    fullness = rng.lognormal(size=images)
    boxes = 1 + rng.multinomial(rows - images, fullness / fullness.sum())
    stride = 2**64 // images  # one id from each stretch of the numbers: sorted and distinct
    for start in range(0, images, _IMAGES_PER_CHUNK):
        chunk = boxes[start : start + _IMAGES_PER_CHUNK]
        numbers = np.arange(start, start + len(chunk), dtype=np.uint64) * np.uint64(stride)
        numbers += rng.integers(0, stride, len(chunk), dtype=np.uint64, endpoint=False)
        yield np.repeat(_hexadecimal(numbers), chunk)


def _hexadecimal(numbers: NDArray[np.uint64]) -> Texts:
    quarters = numbers.astype(">u8").view(">u2").reshape(-1, 4)
    four_digits = np.array([f"{number:04x}" for number in range(1 << 16)], "S4")
    digits: Texts = four_digits[quarters].view("S16")
    return digits[:, 0]


def _columns(
    rng: np.random.Generator, image_ids: Texts, class_ids: Sequence[str], seed: int
) -> list[Texts]:
    size = len(image_ids)
    xmin, xmax = _extents(rng, size)
    ymin, ymax = _extents(rng, size)
    flags = [(rng.random(size) < rate).astype(np.uint8).astype("S1") for rate in _FLAG_RATES]
    fixed = [np.full(size, value) for value in (b"xclick", b"1")]
    labels = np.array(class_ids, np.bytes_)[_classes(rng, size, len(class_ids), seed)]
    return [
        image_ids,
        fixed[0],
        labels,
        fixed[1],
        *map(_decimals, (xmin, xmax, ymin, ymax)),
        *flags,
    ]


def _classes(rng: np.random.Generator, size: int, count: int, seed: int) -> IntArray:
    """Draw classes by the Zipf-Mandelbrot law that is nearest to the 500 challenge classes."""
    frequency = (np.arange(count) + 31.0) ** -3.67
    by_frequency = np.random.default_rng(seed).permutation(count)  # the same in every chunk
    steps = np.cumsum(frequency / frequency.sum())[:-1]
    return by_frequency[np.searchsorted(steps, rng.random(size), side="right")]


def _extents(rng: np.random.Generator, size: int) -> tuple[IntArray, IntArray]:
    """Return where each box starts and ends along one axis, in millionths; most are small."""
    extent = (_MICRO * rng.beta(0.8, 2.0, size)).astype(np.int64).clip(_LEAST_EXTENT)
    start = rng.integers(0, _MICRO - extent, endpoint=True)
    return start, start + extent


def _decimals(millionths: IntArray) -> Texts:
    whole, fraction = np.divmod(millionths, _MICRO)
    digits = 48 + np.stack([fraction // 10**power % 10 for power in range(5, -1, -1)], axis=1)
    lead = np.stack([48 + whole, np.full_like(whole, ord("."))], axis=1)
    return np.concatenate([lead, digits], axis=1).astype(np.uint8).view("S8")[:, 0]


def _csv_rows(columns: Sequence[Texts]) -> bytes:
    ends = [b","] * (len(columns) - 1) + [b"\n"]
    parts = [part for pair in zip(columns, ends, strict=True) for part in pair]
    kinds = [(str(place), np.asarray(part).dtype) for place, part in enumerate(parts)]
    rows = np.empty(len(columns[0]), kinds)
    for (name, _), part in zip(kinds, parts, strict=True):
        rows[name] = part
    return rows.tobytes().translate(None, b"\0")  # what filled up short values
