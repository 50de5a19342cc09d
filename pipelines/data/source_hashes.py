"""The contents of source files as SHA-256, found while the files are being read."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.errors import DatasetError
from pipelines.provenance import Provenance, sha256


class SourceHashes:
    """Hashes files in a thread beside the caller's; to be used in a ``with`` block.

    Args:
        paths: Files, or folders whose XML files count.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._digests = {path: self._pool.submit(_digest, path) for path in dict.fromkeys(paths)}

    def __enter__(self) -> "SourceHashes":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def parents(self, files: Iterable[tuple[str, Path]]) -> list[Provenance]:
        """Return a provenance record for each role and file, once all are hashed.

        Raises:
            DatasetError: If a file cannot be read.
        """
        return [
            {"role": role, "path": path.name, "sha256": self._digests[path].result()}
            for role, path in files
        ]


def key_of(parents: Iterable[Provenance], settings: Mapping[str, Any]) -> str:
    """Return a SHA-256 over what a file is made of and how; file names do not matter."""
    contents = [[parent["role"], parent["sha256"]] for parent in parents]
    text = json.dumps([contents, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _digest(path: Path) -> str:
    try:
        return sha256(path) if not path.is_dir() else _folder_digest(path)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        raise DatasetError(
            "no such file" if missing else str(error.strerror), where=path
        ) from error


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.xml")):
        digest.update(f"{file.relative_to(folder)}|{sha256(file)}|".encode())
    return digest.hexdigest()
