"""The pictures that a user names: files, folders and patterns, in the order of a film."""

import re
from collections.abc import Callable, Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import NoReturn

from pipelines.data.image_listing import SUFFIXES, image_files
from pipelines.errors import DatasetError

OnError = Callable[[DatasetError], None]

_NUMBER = re.compile("([0-9]+)")


def stop(error: DatasetError) -> NoReturn:
    """Raise the error: the way to treat a bad picture where none may be left out."""
    raise error


def find_images(inputs: Sequence[Path], on_error: OnError = stop) -> list[Path]:
    """Return the pictures that are meant, each once.

    Args:
        inputs: Files of any name; folders, for all images in them and their subfolders; patterns
            with ``*``, ``?``, ``[...]`` or ``**``, for the images among the files that match. What
            exists under its very name is no pattern. Folders and patterns give natural order:
            frame2 comes before frame10.
        on_error: Called for each input that stands for no picture.

    Raises:
        DatasetError: From ``on_error``; or if there is no picture at all.
    """
    files: list[Path] = []
    for path in inputs:
        inside = list(_images_of(path))
        files += inside
        if not inside:
            on_error(_nothing_at(path))
    if not files:
        raise DatasetError("there is no image", mend="Name files, folders or patterns of images.")
    return list(dict.fromkeys(files))


def natural_order(path: Path) -> tuple[object, ...]:
    """Return a sort key by which numbers in names count as numbers."""
    parts = (_NUMBER.split(part) for part in path.parts)  # text and digits in turn
    key = tuple(
        tuple(int(text) if place % 2 else text for place, text in enumerate(texts))
        for texts in parts
    )
    return (key, str(path))  # 01 and 1 are equal numbers


def _images_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from sorted(image_files(path), key=natural_order)
    elif path.exists():
        yield path
    elif has_magic(str(path)):
        matches = map(Path, glob(str(path), recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
        images = (match for match in matches if match.suffix.lower() in SUFFIXES)
        yield from sorted(filter(Path.is_file, images), key=natural_order)


def _nothing_at(path: Path) -> DatasetError:
    if path.is_dir():
        return DatasetError("no image there", where=path)
    if has_magic(str(path)):
        suffixes = ", ".join(sorted(SUFFIXES))
        return DatasetError("no image matches", where=path, mend=f"Images end in {suffixes}.")
    return DatasetError("no such image", where=path)
