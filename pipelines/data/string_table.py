"""A column of text that can live in a memory-mapped file.

Shapes: n strings, b bytes in all.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import overload

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import IntArray


class StringTable(Sequence[str]):
    """Strings, decoded one at a time.

    Args:
        text: ``[b]``, their UTF-8 bytes, one after the other.
        ends: ``[n]``, where each ends.
    """

    def __init__(self, text: NDArray[np.uint8], ends: IntArray) -> None:
        self.text, self.ends = text, ends

    @classmethod
    def of(cls, strings: Iterable[str]) -> "StringTable":
        """Store the strings in their order."""
        encoded = [string.encode() for string in strings]
        ends = np.fromiter(accumulate(map(len, encoded)), np.int64, len(encoded))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self.ends.tolist():
            yield self.text[start:end].tobytes().decode()
            start = end

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...
    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} of {len(self)} strings")
        start = int(self.ends[row - 1]) if row else 0
        return self.text[start : int(self.ends[row])].tobytes().decode()


def position_in(ordered: Sequence[str], wanted: str) -> int:
    """Return where a string stands among sorted ones, or -1."""
    row = bisect_left(ordered, wanted)
    return row if row < len(ordered) and ordered[row] == wanted else -1


def positions_in(ordered: Sequence[str], wanted: Sequence[str]) -> IntArray:
    """Return where each of many strings stands among sorted ones, or -1; in their order."""
    if len(wanted) < len(ordered) >> 5:  # then searching costs less than going through them all
        return np.fromiter((position_in(ordered, s) for s in wanted), np.int64, len(wanted))
    places = {string: place for place, string in enumerate(ordered)}
    return np.fromiter((places.get(s, -1) for s in wanted), np.int64, len(wanted))
