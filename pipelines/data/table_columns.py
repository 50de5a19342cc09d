"""Columns that grow block by block, in little more memory than they need at last.

Shapes: n rows so far.
"""

from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_Number = TypeVar("_Number", np.int32, np.float64)


class GrowingArray(Generic[_Number]):
    """An array that doubles its room when it is full; room that was never used takes no memory."""

    def __init__(self, dtype: type[_Number]) -> None:
        self._room: NDArray[_Number] = np.empty(0, dtype)
        self._size = 0

    def extend(self, values: NDArray[_Number]) -> None:
        """Append a copy of ``values``."""
        end = self._size + len(values)
        if end > len(self._room):
            room = np.empty(max(end, 2 * len(self._room)), self._room.dtype)
            room[: self._size] = self._room[: self._size]
            self._room = room
        self._room[self._size : end] = values
        self._size = end

    def build(self) -> NDArray[_Number]:
        """Hand over the array ``[n]`` without the room that is left, and start anew."""
        array, self._room = self._room, self._room[:0].copy()
        array.resize(self._size, refcheck=False)
        self._size = 0
        return array


class TextColumn:
    """The blocks of a text column, each with a dictionary of its own."""

    def __init__(self) -> None:
        self._codes = GrowingArray(np.int32)  # positions in all dictionaries, end to end
        self._dictionaries = [pa.array([], pa.large_string())]
        self._offset = 0

    def extend(self, column: pa.DictionaryArray) -> None:
        """Append a block."""
        self._codes.extend(column.indices.to_numpy() + np.int32(self._offset))
        self._dictionaries.append(column.dictionary.cast(pa.large_string()))
        self._offset += len(column.dictionary)

    def build(self) -> tuple[tuple[str, ...], NDArray[np.int64]]:
        """Hand over the sorted distinct values and, ``[n]``, the position in them of each row."""
        values, ranks = _sort_distinct(self._dictionaries)
        codes = ranks[self._codes.build()]
        pa.default_memory_pool().release_unused()  # before the values take up memory again
        return tuple(values.to_pylist()), codes


def _sort_distinct(dictionaries: list[pa.Array]) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the distinct values in order, and the rank of each value; empties the list."""
    distinct = pa.concat_arrays(dictionaries).dictionary_encode()
    dictionaries.clear()
    order = pc.sort_indices(distinct.dictionary)
    rank = np.empty(len(order), np.int64)
    rank[order.to_numpy()] = np.arange(len(order))
    return distinct.dictionary.take(order), rank[distinct.indices.to_numpy()]
