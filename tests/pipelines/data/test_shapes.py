"""Tests for pipelines.data.shapes: the classes of the procedural world."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.shapes import (
    ACCENTS,
    COLOURS,
    PLAIN,
    SHAPES,
    ShapesSettings,
    attribute_values,
    choose_seen,
    class_attributes,
    long_tailed_counts,
    shapes_hierarchy,
    shapes_vocabulary,
)
from pipelines.errors import ConfigError
from pipelines.vocabulary import ClassHierarchy


def test_every_combination_is_a_class() -> None:
    """There are 960 classes, named after their colour, pattern and shape."""
    vocabulary = shapes_vocabulary()

    assert len(vocabulary) == ShapesSettings().num_classes == 960
    assert vocabulary.name_of["shape/red-striped-star"] == "red striped star"
    assert len({tuple(row) for row in class_attributes().tolist()}) == 960


@pytest.mark.parametrize("accents", range(1, len(ACCENTS) + 1))
def test_accents_multiply_the_patterned_classes(accents: int) -> None:
    """Each pattern comes in each accent, but solid in none; all names and attributes differ."""
    vocabulary, attributes = shapes_vocabulary(accents), class_attributes(accents)

    assert len(vocabulary) == len(attributes) == 12 * 10 * (7 * accents + 1)
    assert len(set(vocabulary.names)) == len(vocabulary)
    assert len({tuple(row) for row in attributes.tolist()}) == len(vocabulary)
    assert ShapesSettings(accents=accents, num_crops=99_999).num_classes == len(vocabulary)


@pytest.mark.parametrize("accents", [1, 2, 6])
def test_rows_of_attributes_belong_to_the_rows_of_classes(accents: int) -> None:
    """A class's attributes spell its name, which tells no accent where there is no choice."""
    vocabulary, values = shapes_vocabulary(accents), attribute_values(accents)
    for name, row in zip(vocabulary.names, class_attributes(accents).tolist(), strict=True):
        shape, colour, pattern, *accent = (v[i] for v, i in zip(values, row, strict=True))
        assert (pattern == "solid") == (PLAIN in accent) or accents == 1
        assert name.split() == [colour, *(a for a in accent if a != PLAIN), pattern, shape]


def test_an_accent_can_be_told_from_every_colour_and_accent() -> None:
    """No two of them are closer than the red and the orange of objects."""
    values = np.array([*ACCENTS.values(), *COLOURS.values()])

    distances = np.linalg.norm(values[: len(ACCENTS), None] - values[None], axis=2)

    np.fill_diagonal(distances, np.inf)
    closest = np.linalg.norm(np.subtract(COLOURS["red"], COLOURS["orange"]))
    assert distances.min() > closest


@pytest.mark.parametrize(("accents", "classes"), [(1, 80), (6, 430)])
def test_shapes_stand_above_their_classes(tmp_path: Path, accents: int, classes: int) -> None:
    """The hierarchy puts a twelfth of the classes under each shape, and no shape is a class."""
    path = tmp_path / "hierarchy.json"
    path.write_text(json.dumps(shapes_hierarchy(accents)))
    vocabulary = shapes_vocabulary(accents)

    hierarchy = ClassHierarchy.from_json(path, [*vocabulary.ids, "shape/star"])

    stars = {i for i in vocabulary.ids if i.endswith("-star")}
    assert hierarchy.descendants_of("shape/star") == stars
    assert len(stars) == classes
    assert not {f"shape/{shape}" for shape in SHAPES} & set(vocabulary.ids)
    assert not ClassHierarchy.from_json(path, vocabulary.ids).ancestors_of("shape/red-solid-star")


@given(count=st.integers(12, 959), seed=st.integers(0, 2**32 - 1))
def test_seen_classes_use_every_attribute_about_equally(count: int, seed: int) -> None:
    """Any number of seen classes from 12 on uses each shape, colour and pattern in turn."""
    chosen = choose_seen(count, np.random.default_rng(seed))

    assert len(np.unique(chosen)) == count
    for values, column in zip(attribute_values(), class_attributes()[chosen].T, strict=True):
        uses = np.bincount(column, minlength=len(values))
        assert uses.min() >= 1
        assert uses.min() >= count // len(values) - 2


@given(count=st.integers(12, 500), accents=st.integers(2, 6), seed=st.integers(0, 2**32 - 1))
def test_seen_classes_show_every_accent(count: int, accents: int, seed: int) -> None:
    """Every value of every attribute is seen, though a solid class shows no accent."""
    chosen = choose_seen(count, np.random.default_rng(seed), accents)

    assert len(np.unique(chosen)) == count
    columns = class_attributes(accents)[chosen].T
    for values, column in zip(attribute_values(accents), columns, strict=True):
        uses = np.bincount(column, minlength=len(values))
        assert uses.min() >= max(1, count // (2 * len(values)))


def test_crops_are_long_tailed() -> None:
    """The largest class has many times the crops of the smallest, which has the minimum."""
    counts = long_tailed_counts(960, 24_000, 6, np.random.default_rng(0))

    assert 23_000 < counts.sum() <= 24_000
    assert counts.min() >= 6
    assert counts.max() > 10 * np.median(counts)
    assert (counts > counts.mean()).mean() < 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_seen": 11}, "num_seen is 11, where 12 to 959 fit"),
        ({"num_seen": 960}, "num_seen is 960, where 12 to 959 fit"),
        ({"num_crops": 5000}, "5000 crops do not give each of the 960 classes 6"),
        ({"min_crops": 0}, "min_crops is 0, where 1 is the least"),
        ({"num_train": 0}, "num_train is 0, where 1 is the least"),
        ({"num_negatives": -1}, "num_negatives is -1, where 0 is the least"),
        ({"scene_size": 16}, "scene_size is 16, where 64 is the least"),
        ({"crop_size": 4}, "crop_size is 4, where 16 is the least"),
        ({"seed": -1}, "seed is -1, where 0 is the least"),
        ({"accents": 0}, "accents is 0, where 1 is the least"),
        ({"accents": 7}, "accents is 7, where 6 is the most"),
        ({"accents": 6}, "24000 crops do not give each of the 5160 classes 6"),
    ],
)
def test_impossible_worlds_are_refused(changes: dict[str, int], message: str) -> None:
    """Settings that cannot be drawn are refused when they are made."""
    with pytest.raises(ConfigError, match=message):
        ShapesSettings(**changes)
