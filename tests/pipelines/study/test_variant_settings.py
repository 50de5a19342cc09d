"""Tests for pipelines.study.variant_settings."""

from dataclasses import replace
from pathlib import Path

import torch

from pipelines.artifacts import ClassifierWeights
from pipelines.study.shapes import ShapesSource
from pipelines.study.variant_settings import classifier_of, variant_settings, write_inputs
from pipelines.study.variants import LENGTH, SPREAD, TABLE1, WIDE_SPREAD
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


def test_half_the_hidden_width_is_half_of_the_worlds(tmp_path: Path) -> None:
    """R is 256 in the drawn world."""
    settings = variant_settings(HALF, ShapesSource().world(tmp_path), tmp_path, 0, "cpu")

    assert settings.head.hidden == 128
