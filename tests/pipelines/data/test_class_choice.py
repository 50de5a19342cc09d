"""Tests for pipelines.data.class_choice."""

from pathlib import Path

import pytest

from pipelines.data.class_choice import choose_rows
from pipelines.errors import ConfigError, MismatchError
from pipelines.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("/m/1", "/m/2", "/m/3"), ("Cat", "Dog", "Emu"))
GROUPS = ("novel", "seen", "novel")


def test_groups_choose_their_rows() -> None:
    """A group stands for its classes; one without a class is refused."""
    assert choose_rows("all", VOCABULARY, GROUPS) == [0, 1, 2]
    assert choose_rows("novel", VOCABULARY, GROUPS) == [0, 2]
    with pytest.raises(ConfigError, match="no other class among the 3"):
        choose_rows("other", VOCABULARY, GROUPS)


def test_part_of_an_indexed_list_chooses_classes(tmp_path: Path) -> None:
    """The file's order counts, and its Index column, that of a longer list, does not."""
    path = tmp_path / "some.csv"
    path.write_text("Index,LabelName,DisplayName\n9,/m/3,Emu\n4,/m/1,Cat\n")

    assert choose_rows(str(path), VOCABULARY, GROUPS) == [2, 0]


def test_unknown_choices_are_refused(tmp_path: Path) -> None:
    """Neither a misspelt group nor a file with an unknown class is guessed at."""
    with pytest.raises(ConfigError, match="Did you mean 'novel'"):
        choose_rows("novl", VOCABULARY, GROUPS)
    path = tmp_path / "some.txt"
    path.write_text("/m/9\n")
    with pytest.raises(MismatchError, match="unknown class '/m/9'") as caught:
        choose_rows(str(path), VOCABULARY, GROUPS)
    assert caught.value.where == str(path)
