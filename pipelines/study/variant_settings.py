"""The training settings of a row of a study, and the classifier files that it needs."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from pipelines.artifacts import ClassifierWeights
from pipelines.config import DetectorSettings, TrainSettings, validate_settings
from pipelines.errors import ConfigError
from pipelines.provenance import parent, provenance_of
from pipelines.study.variants import Variant
from pipelines.study.worlds import World

SPREAD_SEED = 0  # of the factors that spread the lengths of the rows


def variant_settings(
    variant: Variant, world: World, folder: Path, seed: int, device: str
) -> TrainSettings:
    """Return the settings of a variant's training; its files may have yet to be made.

    Args:
        variant: The row.
        world: Its settings are the base.
        folder: Where :func:`write_inputs` writes a changed classifier file.
        seed: Of the training.
        device: Of the training.

    Raises:
        ConfigError: If the world has no word vectors and the row needs them, or for bad settings.
    """
    tree: dict[str, Any] = copy.deepcopy(dict(world.settings)) | {"seed": seed, "device": device}
    of_method = world.method_settings.get(variant.settings["head.method"], {})
    of_training = world.training_settings.get(variant.training, {})
    for key, value in {**of_method, **of_training, **variant.settings}.items():
        _assign(tree, key, value)
    if variant.hidden_share != 1:
        width = tree.get("detector", {}).get("roi_width", DetectorSettings().roi_width)
        tree["head"]["hidden"] = round(width * variant.hidden_share)
    if variant.words:
        tree["classifier"] = _words(world)
    if variant.row_spread != 1:
        tree["classifier"] = _spread_classifier(folder, variant.row_spread)
    _lengthen(tree["schedule"], variant.length)
    return validate_settings(tree)


def _assign(tree: dict[str, Any], key: str, value: object) -> None:
    *groups, name = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
    tree[name] = value


def _words(world: World) -> Path:
    if world.words is None:
        raise ConfigError(
            "the world has no word vectors",
            mend="Give --words (made by wtn extract-weights), or leave out the row.",
        )
    return world.words


def classifier_of(variant: Variant, world: World) -> ClassifierWeights:
    """Return the rows that a variant trains with: the world's, its word vectors, or spread rows.

    Spread rows have widely different lengths, and the directions of the world's.

    Raises:
        ArtifactError: If the world's file is bad.
    """
    file = _words(world) if variant.words else Path(world.settings["classifier"])
    rows = ClassifierWeights.load(file)
    if variant.row_spread == 1:
        return rows
    generator = torch.Generator().manual_seed(SPREAD_SEED)
    exponents = torch.rand(len(rows.weight), 1, generator=generator)
    exponents = (exponents - exponents.min()) / (exponents.max() - exponents.min()) - 0.5
    weight = rows.weight * variant.row_spread**exponents
    made_from = parent("classifier", file, rows.provenance)
    return replace(
        rows, weight=weight, provenance=provenance_of(made_from, spread=variant.row_spread)
    )


def write_inputs(variant: Variant, world: World, folder: Path) -> None:
    """Write the classifier file that only some rows train with, if this is one of them."""
    if variant.row_spread != 1:
        classifier_of(variant, world).save(_spread_classifier(folder, variant.row_spread))


def _spread_classifier(folder: Path, spread: float) -> Path:
    return folder / f"classifier-spread-{spread:g}.safetensors"


def _lengthen(schedule: dict[str, Any], factor: float) -> None:
    """Stretch the schedule, its warm-up and its steps; steps that meet become one."""
    for key in ("iterations", "warmup_iterations"):
        schedule[key] = round(schedule[key] * factor)
    steps = (max(round(step * factor), 1) for step in schedule["steps"])
    schedule["steps"] = tuple(dict.fromkeys(steps))
