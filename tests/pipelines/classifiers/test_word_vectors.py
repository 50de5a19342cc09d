"""Tests for pipelines.classifiers.word_vectors."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.classifiers.word_vectors import NameLookup, embed_names
from pipelines.errors import MismatchError
from pipelines.vocabulary import Vocabulary

WHERE = Path("words.vec")


class Words:
    """Word vectors: one axis of space for each of a few words, and one for the composed ones."""

    def __init__(self, *words: str, composable: str = "") -> None:
        self.axes = dict(zip(words, np.eye(len(words) + 1, dtype=np.float32), strict=False))
        self.rest = np.eye(len(words) + 1, dtype=np.float32)[-1]
        self.composable = composable

    def known(self, tokens: Iterable[str]) -> dict[str, np.ndarray]:
        """Return the axes of the words among the tokens."""
        return {token: self.axes[token] for token in tokens if token in self.axes}

    def composed(self, token: str) -> np.ndarray | None:
        """Return the last axis for the one word that can be composed."""
        return self.rest if token == self.composable else None


def _classes(*names: str) -> Vocabulary:
    return Vocabulary(tuple(f"/m/{row}" for row in range(len(names))), names)


def _sum(words: Words, *parts: str) -> np.ndarray:
    """Return the sum of the parts' axes, at length 1."""
    total = np.sum([words.axes[part] for part in parts], axis=0)
    return total / np.linalg.norm(total)


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("Great white-shark", ["great", "white", "shark"]),
        ("great/white_shark & (white)", ["great", "white", "white", "shark"]),
        ("great white shark, shark", ["great", "white", *["shark"] * 4]),
        ("US shark", ["US", "shark"]),
        ("Shark's white.", ["shark", "white"]),
        ("great unknown shark", ["great", "shark"]),
    ],
    ids=["hyphen", "separators", "synonyms", "case", "possessive", "dropped"],
)
def test_name_is_the_mean_of_its_words(name: str, parts: list[str]) -> None:
    """Words are split off and looked up; each synonym counts once, however many words it has."""
    words = Words("great", "white", "shark", "US")
    rows, _, _ = embed_names(words, _classes(name), WHERE)
    np.testing.assert_allclose(rows[0], _sum(words, *parts), atol=1e-6)


def test_lower_case_comes_first() -> None:
    """Of two spellings the lower-cased one counts, even where the name is written otherwise."""
    words = Words("Turkey", "turkey")
    rows, _, _ = embed_names(words, _classes("Turkey"), WHERE)
    np.testing.assert_array_equal(rows[0], words.axes["turkey"])


def test_lookup_tells_what_was_found() -> None:
    """Composed and dropped words and the classes without any are told apart; order is kept."""
    words = Words("dog", "cat", composable="dogfish")
    rows, kept, lookup = embed_names(
        words, _classes("Cat", "Xyzzy", "Dogfish", "n01440764", "dog qux"), WHERE
    )
    assert kept.ids == ("/m/0", "/m/2", "/m/4")
    assert kept.names == ("Cat", "Dogfish", "dog qux")
    np.testing.assert_array_equal(rows, [words.axes["cat"], words.rest, words.axes["dog"]])
    assert lookup == NameLookup(("Dogfish",), ("Xyzzy", "qux"), ("/m/1", "/m/3"), ())


def test_classes_that_share_a_row_are_told() -> None:
    """Names with the same known words give equal rows, which is told for each such row."""
    words = Words("crane", "kite", "red")
    names = ("Crane", "kite", "crane qux", "Xyzzy", "red kite", "Kite", "crane")
    rows, _, lookup = embed_names(words, _classes(*names), WHERE)
    assert lookup.equal_rows == (("/m/0", "/m/2", "/m/6"), ("/m/1", "/m/5"))
    np.testing.assert_array_equal(rows[0], rows[2])


def test_ids_are_not_names() -> None:
    """An id whose parts happen to be words gets no vector for that."""
    words = Words("m", "01g317", "n01440764")
    with pytest.raises(MismatchError, match=r"none of the 2 class names.*'/m/01g317'") as caught:
        embed_names(words, Vocabulary(("a", "b"), ("/m/01g317", "n01440764")), WHERE)
    assert "--class-names" in str(caught.value)


def test_zero_vectors_are_no_vectors() -> None:
    """A mean without a direction cannot be brought to length 1, so its class has no vector."""
    words = Words("dog", "cat")
    words.axes["cat"] = np.zeros(3, np.float32)
    _, kept, lookup = embed_names(words, _classes("cat", "dog"), WHERE)
    assert (kept.names, lookup.without_vector) == (("dog",), ("/m/0",))


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_any_name_is_taken(names: list[str]) -> None:
    """Whatever a name holds, its class has a row of length 1 or is listed as lacking one."""
    words = Words("dog", "a", "0")
    rows, kept, lookup = embed_names(words, _classes("dog", *names), WHERE)
    assert len(rows) == len(kept) == 1 + len(names) - len(lookup.without_vector)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
