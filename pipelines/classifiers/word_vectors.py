"""A row for each class from the word vectors of its name.

Shapes: K classes, d numbers a vector.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipelines.classifiers import fasttext, text_vectors
from pipelines.errors import MismatchError
from pipelines.vocabulary import Vocabulary

Floats = NDArray[np.float32]

_SEPARATORS = re.compile(r"[\s\-&/_()]+")
_AROUND = re.compile(r"^\W+|(['\u2019]s|\W)+$")  # punctuation, and a possessive 's
_CODE = re.compile(r"/[mg]/\w+|n\d{8}")  # an Open Images MID or a WordNet synset, not a name


class WordVectors(Protocol):
    """Vectors of words in a file."""

    def known(self, tokens: Iterable[str]) -> dict[str, Floats]:
        """Return the vector ``[d]`` of each token that the file has."""

    def composed(self, token: str) -> Floats | None:
        """Return a vector ``[d]`` for a token that the file has not, where it can be made."""


@dataclass(frozen=True)
class NameLookup:
    """How the names of the classes were found among the words.

    Args:
        composed: Words whose vector was made of their n-grams.
        dropped: Words without a vector, left out of their names.
        without_vector: The ids of the classes whose name has no vector at all, in list order.
        equal_rows: The ids of classes that no method can tell apart, since their names have the
            same words (``crane``, the bird and the machine): a tuple for each row that they share.
    """

    composed: tuple[str, ...]
    dropped: tuple[str, ...]
    without_vector: tuple[str, ...]
    equal_rows: tuple[tuple[str, ...], ...]


def open_word_vectors(path: Path) -> WordVectors | None:
    """Open a file of word vectors: fastText's ``.bin``, or text; None if it is neither.

    Raises:
        ArtifactError: If a fastText model is truncated, quantised or of another version.
    """
    if fasttext.is_model(path):
        return fasttext.FastTextModel.open(path)
    return text_vectors.TextVectors(path) if text_vectors.is_text(path) else None


def embed_names(
    vectors: WordVectors, classes: Vocabulary, where: Path
) -> tuple[Floats, Vocabulary, NameLookup]:
    """Return a row of length 1 for each class whose name has a vector.

    A row is the mean over the synonyms that commas separate in a name; that of a synonym is the
    mean over its words, which are lower-cased and separated by space, ``-``, ``&``, ``/``, ``_``
    and parentheses. A word is looked up as such, then as it is written, then both without a
    possessive ``'s`` and punctuation around it; then it is composed, or else dropped.

    Args:
        vectors: The word vectors.
        classes: The classes, with names.
        where: Their file, for error messages.

    Returns:
        The rows ``[K, d]`` float32, their K classes, and how the names were found.

    Raises:
        ArtifactError: If the file is damaged.
        MismatchError: If no name has a vector.
    """
    names = [_synonyms(name) for name in classes.names]
    words = {word: None for synonyms in names for synonym in synonyms for word in synonym}
    found, composed = _find_words(vectors, list(words))
    means = [_mean([_mean([found.get(w) for w in s]) for s in synonyms]) for synonyms in names]
    rows = [row for row, mean in enumerate(means) if mean is not None]
    if not rows:
        raise MismatchError(
            f"none of the {len(classes)} class names has a word vector here, such as "
            f"{classes.names[0]!r}",
            where=where,
            mend="The class list must hold names; --class-names gives names to a list of ids.",
        )
    matrix = np.stack([mean for mean in means if mean is not None])
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    kept = classes.subset(rows)
    lookup = NameLookup(
        composed=composed,
        dropped=tuple(word for word in words if word not in found),
        without_vector=tuple(class_id for class_id in classes.ids if class_id not in kept),
        equal_rows=_equal_rows(unit, kept),
    )
    return unit, kept, lookup


def _equal_rows(rows: Floats, classes: Vocabulary) -> tuple[tuple[str, ...], ...]:
    """Return the ids of the classes of each row ``[d]`` that several have."""
    sharing: dict[bytes, list[str]] = {}
    for row, class_id in zip(rows, classes.ids, strict=True):
        sharing.setdefault(row.tobytes(), []).append(class_id)
    return tuple(tuple(ids) for ids in sharing.values() if len(ids) > 1)


def _synonyms(name: str) -> list[list[str]]:
    """Return the words of each synonym, none for a name that is only an id."""
    if _CODE.fullmatch(name):
        return []
    return [list(filter(None, _SEPARATORS.split(synonym))) for synonym in name.split(",")]


def _find_words(
    vectors: WordVectors, words: Sequence[str]
) -> tuple[dict[str, Floats], tuple[str, ...]]:
    """Return a vector for each word that has one, and the words that had to be composed."""
    spellings = {word: _spellings(word) for word in words}
    known = vectors.known({spelling for forms in spellings.values() for spelling in forms})
    found, composed = {}, []
    for word, forms in spellings.items():
        spelling = next((form for form in forms if form in known), None)
        vector = vectors.composed(forms[0]) if spelling is None else known[spelling]
        if vector is not None:
            found[word] = vector
            composed += [word] if spelling is None else []
    return found, tuple(composed)


def _spellings(word: str) -> list[str]:
    bare = _AROUND.sub("", word)
    forms = (word.lower(), word, bare.lower(), bare)
    return [form for form in dict.fromkeys(forms) if form]


def _mean(vectors: Sequence[Floats | None]) -> Floats | None:
    """Return the mean of the vectors that there are, or None if that has no direction."""
    present = [vector for vector in vectors if vector is not None]
    if not present:
        return None
    mean: Floats = np.stack(present).mean(axis=0)
    return mean if mean.any() else None
