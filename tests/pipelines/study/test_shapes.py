"""Tests for pipelines.study.shapes: worlds that are drawn, small ones of either kind."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.artifacts import ClassifierWeights, DetectionHead
from pipelines.class_similarity import ClassSimilarity
from pipelines.data.shapes import ShapesSettings
from pipelines.errors import ConfigError
from pipelines.study.shapes import RECIPE, ShapesSource, _recipe
from pipelines.study.shapes_presets import PAPER
from pipelines.study.study import run_study

TINY = ShapesSettings(
    accents=2,
    num_seen=24,
    num_train=2,
    num_val_seen=1,
    num_val_novel=1,
    num_crops=1800,
    min_crops=1,
    scene_size=64,
    crop_size=16,
)
DETECTOR = PAPER.settings["detector"] | {"roi_width": 512, "min_size": 64, "max_size": 64}
PRESET = replace(
    PAPER,
    network="resnet18",
    epochs=1,
    settings={"data": {"workers": 0}, "detector": DETECTOR, "schedule": {"batch_size": 1}},
)


def nothing(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def test_the_large_world_in_small(tmp_path: Path) -> None:
    """Accents, a residual network and a row that needs its features' width work to the end."""
    source = ShapesSource(4, TINY, PRESET)

    report = run_study(
        "table1", source, tmp_path, seeds=[0], methods=["lsda"], jobs=1, devices=("cpu",)
    )

    assert (report.failed, report.world) == ((), "shapes-paper")
    folder = tmp_path / "shapes-paper/seed-0"
    rows = ClassifierWeights.load(folder / "world/classifier.safetensors")
    assert rows.weight.shape == (1800, 512)
    assert "red lime striped star" in rows.vocabulary.names
    assert DetectionHead.load(folder / "lsda/head.safetensors").weight.shape == (1800, 512)
    words = ClassifierWeights.load(folder / "world/words.safetensors")
    assert len(words.weight.unique(dim=0)) == 1800
    similarity = ClassSimilarity.load(folder / "world/similarity.safetensors")
    assert similarity.similarity.shape == (1800, 1800)


def test_the_study_says_where_a_large_classifier_is_trained(tmp_path: Path) -> None:
    """Its device is used, so one that is not there is an error."""
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used"):
        ShapesSource(4, TINY, PRESET).prepare(tmp_path, 0, "cuda:99", nothing)


def test_a_world_of_another_version_is_refused(tmp_path: Path) -> None:
    """So is one whose recipe does not say what it depends on."""
    source = ShapesSource(sizes=replace(TINY, accents=1, num_crops=960))
    source.prepare(tmp_path, 3, "cpu", nothing)
    recipe = tmp_path / RECIPE
    told = json.loads(recipe.read_text())

    for other in (told | {"revision": 0}, {k: told[k] for k in told if k != "revision"}):
        recipe.write_text(json.dumps(other))
        with pytest.raises(ConfigError, match="holds another world: another version drew it"):
            source.prepare(tmp_path, 3, "cpu", nothing)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "{}", None])
def test_a_world_whose_recipe_is_broken_is_refused(tmp_path: Path, text: str | None) -> None:
    """Nobody knows what it is; it is not said that another version drew it. None: a folder."""
    recipe = tmp_path / RECIPE
    recipe.mkdir() if text is None else recipe.write_text(text)

    with pytest.raises(ConfigError, match=r"another world: its world\.json cannot be read"):
        ShapesSource(sizes=TINY).refuse_other(tmp_path, 3)


def test_another_world_is_told_by_its_seed_and_sizes(tmp_path: Path) -> None:
    """What differs is named, and a folder without a world is refused nothing."""
    source = ShapesSource(sizes=TINY)
    source.refuse_other(tmp_path, 3)
    (tmp_path / RECIPE).write_text(json.dumps(_recipe(replace(TINY, seed=3, num_train=4))))
    source_of_four = ShapesSource(sizes=replace(TINY, num_train=4))

    with pytest.raises(ConfigError, match="another world: seed is 3 there, 2 now"):
        source_of_four.refuse_other(tmp_path, 2)
    with pytest.raises(ConfigError, match="another world: num_train is 4 there, 2 now"):
        source.refuse_other(tmp_path, 3)


def test_a_world_that_has_lost_files_is_refused(tmp_path: Path) -> None:
    """They are named; a whole world of these sizes is not refused."""
    source = ShapesSource(sizes=replace(TINY, accents=1, num_crops=960))
    source.prepare(tmp_path, 3, "cpu", nothing)
    source.refuse_other(tmp_path, 3)
    for name in ("train.zip", "network.safetensors"):
        (tmp_path / name).unlink()

    with pytest.raises(ConfigError, match=r"has lost train\.zip, network\.safetensors"):
        source.refuse_other(tmp_path, 3)
