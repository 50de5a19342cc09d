"""Lists of image ids."""

import csv
from pathlib import Path

from pipelines.errors import DatasetError

_HEADER = "imageid"


def read_image_ids(path: Path) -> frozenset[str]:
    """Read the first column of a file, such as a size file or the id lists of Open Images.

    Args:
        path: One image a line, with or without the header ``ImageID``; more columns are ignored.

    Raises:
        DatasetError: If the file cannot be read, or lists no image.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            cells = [fields[0].strip() for fields in csv.reader(file) if fields]
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise DatasetError(
            "no such file" if missing else str(error.strerror), where=path
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"not a list of image ids ({error})", where=path) from error
    has_header = bool(cells) and cells[0].lower() == _HEADER
    ids = frozenset(cells[has_header:]) - {""}
    if not ids:
        raise DatasetError(
            "no image is listed",
            where=path,
            mend="Give one image id a line; more columns may follow.",
        )
    return ids
