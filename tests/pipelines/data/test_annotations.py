"""Tests for pipelines.data.annotations: rows of a table, copied or moved."""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipelines.data.annotations import BoxTable, ImageLabelTable, Source

SIZE = 6
masks = st.lists(st.booleans(), min_size=SIZE, max_size=SIZE).map(lambda m: np.array(m, np.bool_))
positions = st.lists(st.integers(-SIZE, SIZE - 1), max_size=SIZE).map(
    lambda rows: np.array(rows, np.int64)
)


def boxes(order: str = "C", *, area: bool = True) -> BoxTable:
    """Return boxes whose columns all differ, the corners stored by row or by column."""
    numbers = np.arange(SIZE)
    return BoxTable.of(
        Source(Path("boxes.csv")),
        numbers + 2,
        image_ids=tuple("pqrstu"),
        image=numbers.copy(),
        class_ids=tuple("abcdef"),
        label=numbers[::-1].copy(),
        boxes=np.array(np.arange(4.0 * SIZE).reshape(SIZE, 4), order=order),  # type: ignore[call-overload]
        group_of=numbers % 2 == 0,
        area=numbers * 10.0 if area else None,
    )


def labels() -> ImageLabelTable:
    """Return one label an image."""
    table = boxes()
    return ImageLabelTable(
        table.image_ids, table.image, table.class_ids, table.label, table.group_of
    )


def columns(table: BoxTable | ImageLabelTable) -> dict[str, NDArray[Any]]:
    """Return the arrays of a table."""
    values = {field.name: getattr(table, field.name) for field in fields(table)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


@given(masks | positions, st.sampled_from("CF"), st.booleans())
def test_rows_are_the_same_in_place(rows: NDArray[Any], order: str, area: bool) -> None:
    """Moving rows gives what copying them gives, for a mask and for positions in any order."""
    pairs = [
        (boxes(order, area=area).select(rows), boxes(order, area=area).select(rows, in_place=True)),
        (labels().select(rows), labels().select(rows, in_place=True)),
    ]

    for copied, moved in pairs:
        assert columns(copied).keys() == columns(moved).keys()
        for name, column in columns(copied).items():
            np.testing.assert_array_equal(columns(moved)[name], column, err_msg=name, strict=True)


@pytest.mark.parametrize("make", [boxes, partial(boxes, "F"), labels])
def test_only_rows_in_place_take_the_memory_of_the_table(
    make: Callable[[], BoxTable | ImageLabelTable],
) -> None:
    """No column is copied whole; unless asked to, nothing that others hold is touched."""
    table = make()
    before = {name: column.copy() for name, column in columns(table).items()}
    kept = np.arange(SIZE) != 1

    copied = table.select(kept)
    for name, column in columns(table).items():
        np.testing.assert_array_equal(column, before[name], err_msg=name)
        assert not np.shares_memory(columns(copied)[name], column), name

    moved = table.select(kept, in_place=True)
    for name, column in columns(table).items():
        assert np.shares_memory(columns(moved)[name], column), name
