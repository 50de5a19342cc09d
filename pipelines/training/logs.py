"""Logs of one JSON object a line that a training writes on from where it goes on."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipelines.storage import atomic_path


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append a record.

    Raises:
        OSError: If the disk is full; a part of the line may be there, which ``keep`` drops.
    """
    with path.open("a") as file:
        file.write(json.dumps(record) + "\n")


def sync(path: Path) -> None:
    """Wait until what was appended is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records, but none from the first line on that is not whole."""
    records = []
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:
            break
        if not line.endswith(b"\n") or not isinstance(record, dict) or "iteration" not in record:
            break
        records.append(record)
    return records


def keep(path: Path, is_kept: Callable[[Mapping[str, Any]], bool]) -> None:
    """Drop the other records, and what follows a torn line."""
    kept = filter(is_kept, read(path))
    with atomic_path(path) as temporary:
        temporary.write_text("".join(json.dumps(record) + "\n" for record in kept))
