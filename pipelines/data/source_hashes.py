"""What identifies the sources of an index: the contents of files, and the state of images."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

from pipelines.data.image_listing import image_entries
from pipelines.data.voc import annotation_files
from pipelines.errors import DatasetError, unreadable
from pipelines.provenance import Provenance, sha256


class SourceHashes:
    """Hashes files in a thread beside the caller's; to be used in a ``with`` block.

    Args:
        paths: Files, or folders of Pascal VOC, of which the annotations count.
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


def state_of_images(source: Path) -> str:
    """Return a SHA-256 that changes when a folder or archive of images does; no image is read.

    It is over the source's place and, of an archive, its size and time of change; of a folder, the
    name, size and time of change of every image in it and its subfolders. That takes about a
    second for 200,000 images.

    Raises:
        DatasetError: If there is no such source.
    """
    try:
        found = image_entries(source) if source.is_dir() else [("", source)]
        lines = sorted(_state_line(name, entry.stat()) for name, entry in found)
    except OSError as error:
        raise DatasetError(
            f"the images cannot be found ({error.strerror})",
            where=source,
            mend="Give the folder, zip or tar file of the images with --images.",
        ) from error
    return hashlib.sha256(os.fsencode("".join([f"{source.resolve()}\n", *lines]))).hexdigest()


def _state_line(name: str, state: os.stat_result) -> str:
    return f"{name}|{state.st_size}|{state.st_mtime_ns}\n"


def _digest(path: Path) -> str:
    try:
        return sha256(path) if not path.is_dir() else _folder_digest(path)
    except OSError as error:
        raise unreadable(path, error) from error


def _folder_digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(annotation_files(folder)):
        digest.update(os.fsencode(f"{file.name}|{sha256(file)}|"))
    return digest.hexdigest()
