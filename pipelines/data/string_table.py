"""A column of text that can live in a memory-mapped file.

Shapes: n strings, b bytes in all.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
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
