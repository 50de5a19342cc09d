"""Tests for pipelines.study.variant_settings."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.artifacts import ClassifierWeights
from pipelines.study.open_images import OpenImagesSource
from pipelines.study.shapes import ShapesSource
from pipelines.study.tin200 import Tin200Source
from pipelines.study.variant_settings import classifier_of, variant_settings, write_inputs
from pipelines.study.variants import LENGTH, SPREAD, TABLE1, TABLE2, WIDE_SPREAD
from pipelines.vocabulary import Vocabulary

LONGEST = LENGTH[3]
SPREAD_WTN = SPREAD[1]
HALF = next(variant for variant in TABLE1 if variant.name == "wtn+-half")
CLASSES = Vocabulary(tuple("abcde"), tuple("ABCDE"))


def test_spread_rows_keep_their_directions(tmp_path: Path) -> None:
    """The longest row is 28 times the shortest; other rows in the file become other rows."""
    world = ShapesSource().world(tmp_path)
    weight = torch.nn.functional.normalize(torch.randn(5, 4))
    rows = ClassifierWeights(weight, None, CLASSES, "body:0")
    rows.save(world.settings["classifier"])

    write_inputs(SPREAD_WTN, world, tmp_path)

    file = variant_settings(SPREAD_WTN, world, tmp_path, 0, "cpu").classifier
    spread = ClassifierWeights.load(file).weight
    lengths = spread.norm(dim=1)
    torch.testing.assert_close(spread / lengths[:, None], weight)
    torch.testing.assert_close(lengths.max() / lengths.min(), torch.tensor(WIDE_SPREAD))
    replace(rows, weight=2 * weight).save(world.settings["classifier"])
    torch.testing.assert_close(classifier_of(SPREAD_WTN, world).weight, 2 * spread)


def test_a_longer_training_stretches_its_schedule(tmp_path: Path) -> None:
    """Warm-up and steps keep their proportions."""
    world = ShapesSource(100).world(tmp_path)

    schedule = variant_settings(LONGEST, world, tmp_path, 0, "cpu").schedule

    assert (schedule.iterations, schedule.warmup_iterations) == (200, 30)
    assert schedule.steps == (130, 180)


@pytest.mark.parametrize("iterations", [10, 11, 20])
def test_a_short_training_has_a_schedule_at_any_length(tmp_path: Path, iterations: int) -> None:
    """Steps that come to lie on each other become one, so that they rise."""
    for source in (ShapesSource, Tin200Source, OpenImagesSource):
        given = {} if source is ShapesSource else {"data": tmp_path}
        world = source(iterations=iterations, **given).world(tmp_path)
        for variant in LENGTH:
            schedule = variant_settings(variant, world, tmp_path, 0, "cpu").schedule
            assert 1 <= len(schedule.steps) <= 2
            assert 0 < max(schedule.steps) <= schedule.iterations


def test_a_world_steadies_a_single_training(tmp_path: Path) -> None:
    """On mosaics WTN with input normalisation alone shortens its gradient; nothing else changes."""
    world = Tin200Source(tmp_path).world(tmp_path)

    norms = {
        variant.name: variant_settings(variant, world, tmp_path, 0, "cpu").optimizer
        for variant in TABLE2
    }

    assert {name: o.max_gradient_norm for name, o in norms.items()} == {
        "wtn": None, "wtn-input-norm": 5.0, "wtn-group-norm": None, "wtn+": None,
    }  # fmt: skip


def test_half_the_hidden_width_is_half_of_the_worlds(tmp_path: Path) -> None:
    """R is 256 in the drawn world."""
    settings = variant_settings(HALF, ShapesSource().world(tmp_path), tmp_path, 0, "cpu")

    assert settings.head.hidden == 128
