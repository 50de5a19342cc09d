"""Word vectors of a fastText model (``.bin``), from the words it knows and from their parts.

The format is that of fastText's ``dictionary.cc``, ``fasttext.cc`` and ``densematrix.cc``, version
12, little-endian; the subwords are those of Bojanowski et al. (TACL 2017), section 3.2.

Shapes: V words, B buckets of hashed n-grams, d numbers a vector.
"""

import mmap
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ArtifactError

Floats = NDArray[np.float32]

_MAGIC = struct.pack("<i", 793712314)
_VERSION = 12
_VERSION_FIELD = struct.Struct("<4xi")
_SETTINGS = struct.Struct("<12id")  # [0] dim, [8:11] bucket, minn, maxn, and others of training
_COUNTS = struct.Struct("<3i2q")  # entries, words, labels, tokens, pruned n-grams
_AFTER_WORD = struct.calcsize("<qb")  # how often it occurs, and whether it is a word or a label
_MATRIX = struct.Struct("<?2q")  # quantised, rows, columns
_END_OF_SENTENCE = "</s>"  # the one word without n-grams
_FNV_OFFSET, _FNV_PRIME, _WORD_32 = 2166136261, 16777619, 0xFFFFFFFF


def is_model(path: Path) -> bool:
    """Tell whether a file begins as a fastText model does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


@dataclass(frozen=True)
class FastTextModel:
    """A model whose vectors stay in the file until they are asked for.

    Args:
        path: The file.
        dictionary: Where in it the first word begins.
        num_words: V.
        buckets: B, or 0 where the model has no n-grams.
        shortest: Characters of the shortest n-grams.
        longest: Characters of the longest.
        vectors: ``[V + B, d]``, of the words and then of the buckets, memory-mapped.
    """

    path: Path
    dictionary: int
    num_words: int
    buckets: int
    shortest: int
    longest: int
    vectors: Floats

    @classmethod
    def open(cls, path: Path) -> "FastTextModel":
        """Map a model.

        Raises:
            ArtifactError: If it is truncated, quantised or of another version.
        """
        try:
            with _mapped(path) as data:
                return cls._parse(path, data)
        except (struct.error, ValueError) as error:
            raise ArtifactError(
                "not a complete fastText model",
                where=path,
                mend="The file is truncated or damaged; copy or download it again.",
            ) from error

    @classmethod
    def _parse(cls, path: Path, data: mmap.mmap) -> "FastTextModel":
        (version,) = _VERSION_FIELD.unpack_from(data, 0)
        if version != _VERSION:
            raise ArtifactError(
                f"a fastText model of version {version}; only {_VERSION} is known",
                where=path,
                mend="Save its vectors as text (.vec) with the fastText that reads it.",
            )
        settings = _SETTINGS.unpack_from(data, _VERSION_FIELD.size)
        width, buckets, shortest, longest = settings[0], *settings[8:11]
        counts_at = _VERSION_FIELD.size + _SETTINGS.size
        entries, num_words, _, _, pruned = _COUNTS.unpack_from(data, counts_at)
        dictionary = counts_at + _COUNTS.size
        ends = (end for _, end in _words(data, dictionary, entries))
        matrix_at = max(ends, default=dictionary)
        quantised, *shape = _MATRIX.unpack_from(data, matrix_at)
        if quantised or pruned >= 0:
            raise ArtifactError(
                "a quantised fastText model; only its approximate vectors are left",
                where=path,
                mend="Use the full model (.bin) that it was made from.",
            )
        buckets = buckets if longest > 0 else 0
        if shape != [num_words + buckets, width] or (longest > 0 and not buckets):
            raise ValueError(shape)
        at = matrix_at + _MATRIX.size
        vectors = np.memmap(path, "<f4", "r", at, (num_words + buckets, width))
        return cls(path, dictionary, num_words, buckets, shortest, longest, vectors)

    def known(self, tokens: Iterable[str]) -> dict[str, Floats]:
        """Return the vector ``[d]`` of each token that is a word of the model.

        Raises:
            ArtifactError: If a number is not finite.
        """
        wanted = {token.encode(): token for token in tokens}
        rows = {}
        with _mapped(self.path) as data:
            for row, (word, _) in enumerate(_words(data, self.dictionary, self.num_words)):
                if word in wanted:
                    rows[wanted[word]] = row
        return {token: self._mean([row, *self._parts(token)]) for token, row in rows.items()}

    def composed(self, token: str) -> Floats | None:
        """Return the mean ``[d]`` of a token's n-grams, or None where it has none.

        Raises:
            ArtifactError: If a number is not finite.
        """
        parts = self._parts(token)
        return self._mean(parts) if parts else None

    def _parts(self, token: str) -> list[int]:
        """Return the rows of a token's n-grams."""
        if not self.buckets or token == _END_OF_SENTENCE:
            return []
        ngrams = _ngrams(f"<{token}>", self.shortest, self.longest)
        return [self.num_words + _hash(ngram) % self.buckets for ngram in ngrams]

    def _mean(self, rows: list[int]) -> Floats:
        mean: Floats = self.vectors[rows].mean(axis=0)
        if not np.isfinite(mean).all():
            raise ArtifactError(
                f"holds a number that is not finite, in one of the rows {sorted(rows)}",
                where=self.path,
                mend="Copy or download it again.",
            )
        return mean


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _words(data: mmap.mmap, position: int, count: int) -> Iterator[tuple[bytes, int]]:
    """Yield the dictionary's entries, each with where the next one begins."""
    for _ in range(count):
        end = data.find(b"\0", position)
        if end < 0:
            raise ValueError(position)
        word = data[position:end]
        position = end + 1 + _AFTER_WORD
        yield word, position


def _ngrams(bracketed: str, shortest: int, longest: int) -> Iterator[str]:
    """Yield the n-grams of a word in angle brackets, but for the brackets by themselves."""
    for start in range(len(bracketed)):
        for length in range(max(shortest, 1), min(longest, len(bracketed) - start) + 1):
            ngram = bracketed[start : start + length]
            if length > 1 or 0 < start < len(bracketed) - 1:
                yield ngram


def _hash(ngram: str) -> int:
    """Return the 32-bit FNV-1a hash as fastText computes it: each byte is signed, and extended."""
    value = _FNV_OFFSET
    for byte in ngram.encode():
        extended = byte | 0xFFFFFF00 if byte > 0x7F else byte
        value = (value ^ extended) * _FNV_PRIME & _WORD_32
    return value
