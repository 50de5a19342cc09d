"""Tests for pipelines.data.name_matching."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.name_matching import (
    AMBIGUOUS,
    EXCLUDED,
    UNMATCHED,
    NameMeanings,
    normalise,
    read_aliases,
)
from pipelines.errors import DatasetError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(
    ("/m/1", "/m/2", "/m/3", "/m/4", "/m/5"),
    ("Fire hydrant", "Sheep", "sheep", "Man", "Woman"),
)


def labels(*names: str, **options: object) -> list[int]:
    """Return what the names mean."""
    return NameMeanings(names, CLASSES, **options).label.tolist()  # type: ignore[arg-type]


def test_case_and_blanks_do_not_matter() -> None:
    """Everything else does: plurals are other names."""
    assert labels(" FIRE \t hydrant", "fire hydrants", "firehydrant", "") == [
        0,
        UNMATCHED,
        UNMATCHED,
        UNMATCHED,
    ]


def test_aliases_stand_for_a_class() -> None:
    """Any name of a group may be the class's, but a name of its own goes first."""
    aliases = [["men", "man", "guys"], ["man", "woman", "people"], ["nothing", "void"]]

    assert labels("Guys", "man", "void", aliases=aliases) == [3, 3, UNMATCHED]
    assert labels("people", aliases=aliases) == [AMBIGUOUS]


def test_names_of_two_classes_are_reported() -> None:
    """Nothing is guessed."""
    meanings = NameMeanings(["SHEEP", "man"], CLASSES)

    assert meanings.label.tolist() == [AMBIGUOUS, 3]
    assert meanings.ambiguous == {"sheep": ("/m/2", "/m/3")}
    assert meanings.colliding == {}


def test_excluded_classes_are_set_aside_first() -> None:
    """The novel one of two classes of a name remains, and the collision is reported."""
    meanings = NameMeanings(["sheep", "man"], CLASSES, exclude=["/m/2", "/m/4", "/m/elsewhere"])

    assert meanings.label.tolist() == [2, EXCLUDED]
    assert meanings.ambiguous == {}
    assert meanings.colliding == {"sheep": ("/m/2", "/m/3")}


@given(st.text())
def test_normalising_twice_is_normalising_once(name: str) -> None:
    """So names of both sides can be compared."""
    assert normalise(normalise(name)) == normalise(name)


def test_aliases_are_read(tmp_path: Path) -> None:
    """A line is a group; blank lines and empty names are none."""
    path = tmp_path / "object_alias.txt"
    path.write_text("man,men, guys,\n\nbike,bicycle\r\n,\n")

    assert [[name.strip() for name in group] for group in read_aliases(path)] == [
        ["man", "men", "guys"],
        ["bike", "bicycle"],
    ]


def test_unreadable_aliases_are_refused(tmp_path: Path) -> None:
    """A missing or binary file is an error."""
    path = tmp_path / "object_alias.txt"
    with pytest.raises(DatasetError, match="the aliases cannot be read"):
        read_aliases(path)
    path.write_bytes(b"\xff\xff")
    with pytest.raises(DatasetError, match="the aliases cannot be read"):
        read_aliases(path)
