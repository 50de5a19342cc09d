"""Lists of image ids."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from pipelines.errors import DatasetError, unreadable

_HEADER = "imageid"
_FLAGGED = re.compile(r"(\S+)\s+(?:-1|0|1)")


def read_image_ids(path: Path) -> frozenset[str]:
    """Read the first column of a file, such as a size file or the id lists of Open Images.

    Args:
        path: One image a line, with or without the header ``ImageID``; more columns are ignored.
            So is the flag of a class in the lists of Pascal VOC (``ImageSets/Main/dog_val.txt``:
            ``2008_000002 -1``), where every line has one.

    Raises:
        DatasetError: If the file cannot be read, or lists no image.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [fields[0].strip() for fields in csv.reader(file) if fields]
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from error
    except csv.Error as error:
        raise DatasetError(f"not a list of image ids ({error})", where=path) from error
    has_header = bool(cells) and cells[0].lower() == _HEADER
    ids = frozenset(_without_flags(cells[has_header:])) - {""}
    if not ids:
        raise DatasetError(
            "no image is listed",
            where=path,
            mend="Give one image id a line; more columns may follow.",
        )
    return ids


def _without_flags(cells: Sequence[str]) -> list[str]:
    """Return the first words if all cells have a flag behind; other ids may hold spaces."""
    matches = [_FLAGGED.fullmatch(cell) for cell in cells if cell]
    found = [match[1] for match in matches if match]
    return found if len(found) == len(matches) else list(cells)
