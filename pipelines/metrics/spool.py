"""Records in a temporary file that come back by key.

Shapes: n records, K keys.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import IntArray
from pipelines.errors import RunError

_ROWS_PER_BLOCK = 1 << 18  # sorted and written at once

Records = NDArray[np.void]


class KeyedSpool:
    """Take records in any order; give those of a key back in the order in which they came.

    Records are sorted by key a block at a time and appended to a file, so a key's records are a
    piece of each block. Memory holds one block, and one number for each block and key.

    Args:
        dtype: Of a record.
        num_keys: K; keys count from 0.

    Raises:
        RunError: Here or later, if the folder of temporary files is full or cannot be written.
    """

    def __init__(self, dtype: np.dtype[np.void], num_keys: int) -> None:
        self._dtype, self._num_keys = dtype, num_keys
        with _full_disk_explained():
            self._file = TemporaryFile(prefix="wtn-")  # noqa: SIM115 - see close()
        self._waiting: list[tuple[IntArray, Records]] = []
        self._num_waiting = 0
        self._written = 0
        self._bounds: list[IntArray] = []  # of each block: where each key's records begin, and end

    def append(self, key: IntArray, **columns: NDArray[Any]) -> None:
        """Add records by column, ``[n]`` each."""
        records = np.empty(len(key), self._dtype)
        for name, column in columns.items():
            records[name] = column
        self._waiting.append((key, records))
        self._num_waiting += len(key)
        if self._num_waiting >= _ROWS_PER_BLOCK:
            self._write_block()

    def read(self, key: int) -> Records:
        """Return the records of one key."""
        if self._waiting:
            self._write_block()
        pieces = [np.empty(0, self._dtype)]
        for bounds in self._bounds:
            start, stop = bounds[key : key + 2].tolist()
            if stop > start:
                self._file.seek(start * self._dtype.itemsize)
                content = self._file.read((stop - start) * self._dtype.itemsize)
                pieces.append(np.frombuffer(content, self._dtype))
        return np.concatenate(pieces)

    def close(self) -> None:
        """Remove the file; what a full disk kept from being written is of no use any more."""
        with suppress(OSError):
            self._file.close()

    def _write_block(self) -> None:
        keys, records = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
        counts = np.bincount(keys, minlength=self._num_keys)
        self._bounds.append(self._written + np.append(0, counts.cumsum()))
        with _full_disk_explained():
            self._file.seek(self._written * self._dtype.itemsize)
            self._file.write(records[np.argsort(keys, kind="stable")].data)
            self._file.flush()
        self._written += len(keys)
        self._waiting, self._num_waiting = [], 0


@contextmanager
def _full_disk_explained() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RunError(
            f"no detections can be put aside here ({error.strerror})",
            where=gettempdir(),
            mend="Make room there, or name another folder in the variable TMPDIR.",
        ) from error
