"""Word vectors in text files (``.vec``, ``.txt``), as word2vec, GloVe and fastText write them.

A line holds a word and its numbers, separated by spaces. Files have millions of lines, of which few
are needed, so of the others only the first word is looked at, and nothing is decoded.

Shapes: d numbers a vector.
"""

import gzip
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ArtifactError

Floats = NDArray[np.float32]

SUFFIXES = (".vec", ".txt")  # each may be followed by .gz
_GZIP = ".gz"
_LONGEST_LINE = 1 << 20  # bytes; a word and 300 numbers take 3,000
_BUFFER = 1 << 20
_LARGEST = np.finfo(np.float32).max


def is_text(path: Path) -> bool:
    """Tell whether a file is named like word vectors in text."""
    name = path.name.lower().removesuffix(_GZIP)
    return name.endswith(SUFFIXES) and path.is_file()


@dataclass(frozen=True)
class TextVectors:
    """The vectors of a file, read when they are asked for.

    Args:
        path: The file; its first line may be ``COUNT d``.
    """

    path: Path

    def known(self, tokens: Iterable[str]) -> dict[str, Floats]:
        """Return the vector ``[d]`` of each token in the file; the first line of a word counts.

        Raises:
            ArtifactError: If the file is truncated or of another kind; names the line.
        """
        try:
            with self._opened() as file:
                return self._scan(file, {token.encode(): token for token in tokens})
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ArtifactError(
                f"not a complete gzip file ({error})",
                where=self.path,
                mend="Copy or download it again.",
            ) from error

    def composed(self, token: str) -> None:
        """Return None: text files have no parts of words."""

    def _opened(self) -> BinaryIO:
        if self.path.suffix.lower() == _GZIP:
            return cast(BinaryIO, gzip.open(self.path))
        return self.path.open("rb", buffering=_BUFFER)

    def _scan(self, file: BinaryIO, wanted: dict[bytes, str]) -> dict[str, Floats]:
        count, width = self._shape(file.readline(_LONGEST_LINE))
        if count is None:
            file.seek(0)
        number = before = 0 if count is None else 1
        line = b""
        found: dict[str, Floats] = {}
        for number, line in enumerate(file, before + 1):
            word = line[: line.find(b" ")]
            if word in wanted:
                vector = self._parse(number, line, width)
                if vector is not None:
                    found[wanted.pop(word)] = vector
        if line.strip():
            self._parse(number, line, width)  # the last line is where a copy breaks off
        if count is not None and number - before < count:
            raise ArtifactError(
                f"holds {number - before} words where its first line announces {count}",
                where=self.path,
                mend="Copy or download it again.",
            )
        return found

    def _shape(self, line: bytes) -> tuple[int | None, int]:
        """Return the number of words, where it is announced, and d."""
        fields = line.split()
        if len(fields) == 2 and all(field.isdigit() for field in fields):
            return int(fields[0]), int(fields[1])
        if len(fields) < 2 or len(line) == _LONGEST_LINE:
            raise ArtifactError(
                "not word vectors: the first line is neither a word with its numbers nor COUNT d",
                where=f"{self.path}:1",
                mend="Expected is text as of word2vec, GloVe and fastText: WORD 0.1 0.2 ...",
            )
        return None, len(fields) - 1

    def _parse(self, number: int, line: bytes, width: int) -> Floats | None:
        """Return the numbers of a line, or None where its word has a space in it."""
        fields = line.split()
        if len(fields) > width + 1:
            return None
        try:
            vector = np.array([float(field) for field in fields[1:]])
        except ValueError:
            vector = np.empty(0)
        if len(vector) != width or not (np.abs(vector) <= _LARGEST).all():
            raise ArtifactError(
                f"not a word and {width} finite numbers",
                where=f"{self.path}:{number}",
                mend="It is truncated, damaged or of another kind; copy or download it again.",
            )
        return vector.astype(np.float32)
