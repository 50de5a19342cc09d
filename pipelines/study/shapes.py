"""The procedural world: drawn, with a classifier trained on its crops, for each seed."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import BackboneSettings
from pipelines.config.comparison import differences, first_of
from pipelines.data.shapes import ShapesSettings, attribute_values
from pipelines.data.shapes_world import ShapesSplit, ShapesWorld, write_shapes_world
from pipelines.errors import ConfigError
from pipelines.evaluate import GroundTruthFiles
from pipelines.extract import extract_weights
from pipelines.similarity import measure_crop_similarity
from pipelines.storage import atomic_path
from pipelines.study.shapes_presets import SMALL, ShapesPreset
from pipelines.study.worlds import (
    NOVEL_AP50,
    NOVEL_AR50,
    SEEN_AP50,
    EvaluationSet,
    Progress,
    World,
    WorldCost,
)
from pipelines.training.classifier import train_classifier

ITERATIONS = SMALL.iterations
RECIPE, NETWORK, CLASSIFIER = "world.json", "network.safetensors", "classifier.safetensors"
WORDS, SIMILARITY = "words.safetensors", "similarity.safetensors"
# Raise it with every change after which the same seed and sizes draw another world, or train
# another classifier on it.
WORLD_REVISION = 1
WORD_WIDTH = 64
_ABOUT_WORDS = (
    "the vectors of this world are random, one for each word, and a class's name tells all its "
    "attributes, so they stand for an oracle of attributes, not for vectors learned from text as "
    "the paper's"
)


@dataclass(frozen=True)
class ShapesSource:
    """Draws the world and trains its classifier; each seed is another world.

    Args:
        iterations: Training steps of each detector.
        sizes: Of the world; its seed is that of the study.
        preset: Its networks and its detector.
    """

    iterations: int = ITERATIONS
    sizes: ShapesSettings = field(default_factory=ShapesSettings)
    preset: ShapesPreset = SMALL
    seeded: bool = field(default=True, init=False)
    lacks: Mapping[str, str] = field(default_factory=dict, init=False)
    notes: Mapping[str, str] = field(
        default_factory=lambda: {"zsd-words": _ABOUT_WORDS}, init=False
    )

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.preset.name

    @property
    def cost(self) -> WorldCost:
        """What a plan reckons with."""
        sizes, preset = self.sizes, self.preset
        return WorldCost(
            device=preset.cost_device,
            train_images=sizes.num_train,
            evaluation_images=sizes.num_val_seen + sizes.num_val_novel,
            classes=sizes.num_classes,
            width=preset.width,
            seen=sizes.num_seen,
            seconds_per_image=preset.seconds_per_image,
            time_basis=preset.time_basis,
            memory_gigabytes=preset.memory_gigabytes,
            memory_basis=preset.memory_basis,
            image_gigabytes=preset.image_gigabytes,
            image_basis=preset.image_basis,
        )

    def missing(self) -> tuple[str, ...]:
        """Return nothing: all of it is drawn."""
        return ()

    def world(self, folder: Path) -> World:
        """Return the world in a folder, drawn or not."""
        drawn = ShapesWorld.at(folder)
        novel = _evaluation("novel", drawn.val_novel, drawn)
        return World(
            settings=_settings(drawn, folder, self.preset, self.iterations),
            evaluations={
                SEEN_AP50: _evaluation("seen", drawn.val_seen, drawn),
                NOVEL_AP50: novel,
                NOVEL_AR50: novel,
            },
            words=folder / WORDS,
            similarity=folder / SIMILARITY,
        )

    def refuse_other(self, folder: Path, seed: int) -> None:
        """Refuse a folder with another world, or with half of one.

        Raises:
            ConfigError: If it holds a world of another seed, of other sizes, of a version that drew
                differently, or one whose recipe cannot be read; tells which. Or if a file is lost.
        """
        made, now = folder / RECIPE, _recipe(replace(self.sizes, seed=seed))
        if not made.exists():
            return
        there = _read_recipe(made)
        if there != now:
            raise ConfigError(
                f"the folder holds another world: {_why_other(there, now)}",
                where=folder,
                mend="Name another folder with --output.",
            )
        files = (*ShapesWorld.at(folder).files, folder / NETWORK, folder / CLASSIFIER)
        if lost := [path.name for path in files if not path.exists()]:
            raise ConfigError(
                f"the world has lost {', '.join(lost)}",
                where=folder,
                mend="Bring them back, or delete this folder: the same command draws it again.",
            )

    def prepare(self, folder: Path, seed: int, device: str, on_progress: Progress) -> World:
        """Draw and train, unless the folder has it.

        On a CPU, the same seed and sizes give the same files.

        Raises:
            ConfigError: If the folder holds another world, or half of one.
        """
        self.refuse_other(folder, seed)
        device = self.preset.device or device
        sizes = replace(self.sizes, seed=seed)
        made = folder / RECIPE
        if not made.exists():
            for derived in (WORDS, SIMILARITY):
                (folder / derived).unlink(missing_ok=True)
            make_shapes_world(folder, sizes, on_progress, self.preset, device)
            with atomic_path(made) as temporary:  # last: what is here before is not finished
                temporary.write_text(json.dumps(_recipe(sizes)))
        world = self.world(folder)
        _write_words(folder, seed, sizes.accents)
        _write_similarity(world, folder, device, on_progress)
        return world


def make_shapes_world(
    folder: Path,
    sizes: ShapesSettings,
    on_progress: Progress,
    preset: ShapesPreset = SMALL,
    device: str = "cpu",
) -> int:
    """Draw a world, train a classifier on its crops and extract it; return its classes.

    What is in the folder is replaced. The seed is that of the sizes.
    """
    drawn = write_shapes_world(folder, sizes, partial(on_progress, "draw the world"))
    network = folder / NETWORK
    train_classifier(
        drawn.crops,
        sizes.num_classes,
        network,
        network=preset.network,
        device=device,
        seed=sizes.seed,
        epochs=preset.epochs,
        batch_size=preset.crops_a_step,
        on_step=lambda step, steps, loss: on_progress("train the classifier", step, steps),
    )
    extracted = extract_weights(str(network), folder / CLASSIFIER, classes=drawn.classes)
    return extracted.num_classes


def _recipe(sizes: ShapesSettings) -> dict[str, Any]:
    """Return what decides a world, as JSON values."""
    recipe: dict[str, Any] = json.loads(json.dumps({"revision": WORLD_REVISION, **asdict(sizes)}))
    return recipe


def _read_recipe(path: Path) -> dict[str, Any]:
    """Return the recipe in a file; an empty one if it is no recipe."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return {}


def _why_other(there: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what sets the recipe of another world apart, in words."""
    if not there:
        return f"its {RECIPE} cannot be read"
    if there.get("revision") != now["revision"]:
        return "another version drew it"
    return first_of(differences(there, now))


def _write_words(folder: Path, seed: int, accents: int) -> None:
    """Write a random vector for each word of the class names, as a text file and a classifier.

    They stand in for vectors learned from text, of which a drawn world has none: a class shares
    with another what their names share, and nothing else.
    """
    output, text = folder / WORDS, folder / "words.vec"
    if output.exists():
        return
    words = [word for values in attribute_values(accents) for word in values]
    vectors = np.random.default_rng((seed, WORD_WIDTH)).standard_normal((len(words), WORD_WIDTH))
    lines = [f"{len(words)} {WORD_WIDTH}"]
    for word, vector in zip(words, vectors.tolist(), strict=True):
        lines.append(" ".join([word, *(f"{number:.5f}" for number in vector)]))
    text.write_text("\n".join(lines) + "\n")
    extract_weights(str(text), output, classes=ShapesWorld.at(folder).classes)


def _write_similarity(world: World, folder: Path, device: str, on_progress: Progress) -> None:
    """Average the classifier's probabilities over the crops of each class."""
    assert world.similarity is not None
    if world.similarity.exists():
        return
    on_progress("look at the crops", 0, 1)
    backbone = BackboneSettings.model_validate(world.settings["backbone"])
    crops = ShapesWorld.at(folder).crops
    measure_crop_similarity(
        world.settings["classifier"], backbone, crops, world.similarity, device=device
    )


def _evaluation(group: str, split: ShapesSplit, world: ShapesWorld) -> EvaluationSet:
    truth = GroundTruthFiles(split.boxes, split.labels, world.hierarchy)
    return EvaluationSet(group, (split.images,), truth)


def _settings(
    world: ShapesWorld, folder: Path, preset: ShapesPreset, iterations: int
) -> dict[str, Any]:
    """Return the settings of a training: the preset's, and the files of the world."""
    data = {
        "images": world.train.images,
        "boxes": world.train.boxes,
        "classes": world.seen_classes,
        "hierarchy": world.hierarchy,
        "sampler": "uniform",
        "group_by_aspect_ratio": False,
    }
    backbone = {"name": preset.network, "weights": str(folder / NETWORK)}
    schedule = {
        "iterations": iterations,
        "warmup_iterations": iterations * 3 // 20,
        "steps": (iterations * 13 // 20, iterations * 9 // 10),
    }
    own: dict[str, dict[str, Any]] = {"data": data, "backbone": backbone, "schedule": schedule}
    sections = own.keys() | preset.settings.keys()
    merged = {name: {**preset.settings.get(name, {}), **own.get(name, {})} for name in sections}
    return {"classifier": folder / CLASSIFIER, **merged}
