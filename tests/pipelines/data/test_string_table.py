"""Tests for pipelines.data.string_table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.string_table import StringTable, position_in, positions_in

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=99)


@given(texts)
def test_a_table_is_the_sequence_that_was_stored(strings: list[str]) -> None:
    """Length, iteration, positions from both ends and slices."""
    table = StringTable.of(strings)

    assert len(table) == len(strings)
    assert list(table) == strings
    assert [table[i] for i in range(-len(strings), len(strings))] == strings * 2
    assert table[1:-1:2] == tuple(strings[1:-1:2])
    with pytest.raises(IndexError):
        table[len(strings)]


@given(texts, texts)
def test_positions_are_those_of_the_sorted_strings(known: list[str], wanted: list[str]) -> None:
    """One at a time, a few, or many at once: always the same; -1 is unknown."""
    ordered = sorted({*known, *wanted[::2]})
    expected = [ordered.index(text) if text in ordered else -1 for text in wanted]
    table = StringTable.of(ordered)

    assert [position_in(table, text) for text in wanted] == expected
    assert positions_in(table, wanted).tolist() == expected
    assert [positions_in(table, [text]).tolist() for text in wanted] == [[e] for e in expected]
