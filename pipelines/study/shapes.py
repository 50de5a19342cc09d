"""The procedural world of 960 classes, 100 of them with boxes, and a detector for a CPU."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from pipelines.config import BackboneSettings, Method
from pipelines.data.shapes import ATTRIBUTES, NUM_CLASSES, ShapesSettings
from pipelines.data.shapes_world import ShapesSplit, ShapesWorld, write_shapes_world
from pipelines.errors import ConfigError
from pipelines.evaluate import GroundTruthFiles
from pipelines.extract import extract_weights
from pipelines.models.tiny import STAGE_CHANNELS
from pipelines.similarity import measure_crop_similarity
from pipelines.storage import atomic_path
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

ITERATIONS = 1000
RECIPE, NETWORK, CLASSIFIER = "world.json", "network.safetensors", "classifier.safetensors"
WORDS, SIMILARITY = "words.safetensors", "similarity.safetensors"
# Raise it with every change after which the same seed and sizes draw another world, or train
# another classifier on it.
WORLD_REVISION = 1
WORD_WIDTH = 64
_SECONDS_PER_IMAGE = 0.026  # on one core of a server CPU


@dataclass(frozen=True)
class ShapesSource:
    """Draws the world and trains its classifier; each seed is another world.

    Args:
        iterations: Training steps of each detector.
        sizes: Of the world; its seed is that of the study.
    """

    iterations: int = ITERATIONS
    sizes: ShapesSettings = field(default_factory=ShapesSettings)
    name: str = field(default="shapes", init=False)
    seeded: bool = field(default=True, init=False)
    lacks: Mapping[str, str] = field(default_factory=dict, init=False)

    @property
    def cost(self) -> WorldCost:
        """What a plan reckons with."""
        sizes = self.sizes
        seconds = dict.fromkeys(get_args(Method), _SECONDS_PER_IMAGE)
        return WorldCost(
            train_images=sizes.num_train,
            evaluation_images=sizes.num_val_seen + sizes.num_val_novel,
            classes=NUM_CLASSES,
            width=STAGE_CHANNELS[-1],
            seen=sizes.num_seen,
            seconds_per_image=seconds,
            time_basis=f"{_SECONDS_PER_IMAGE} s an image, measured on one core of a server CPU",
            memory_gigabytes=1.1,
            memory_basis="resident memory of one training, measured",
            image_gigabytes=0.2,
            image_basis="scenes and crops of a world, measured",
        )

    def missing(self) -> tuple[str, ...]:
        """Return nothing: all of it is drawn."""
        return ()

    def world(self, folder: Path) -> World:
        """Return the world in a folder, drawn or not."""
        drawn = ShapesWorld.at(folder)
        novel = _evaluation("novel", drawn.val_novel, drawn)
        settings = _settings(
            drawn,
            folder / CLASSIFIER,
            folder / NETWORK,
            self.iterations,
        )
        return World(
            settings=settings,
            evaluations={
                SEEN_AP50: _evaluation("seen", drawn.val_seen, drawn),
                NOVEL_AP50: novel,
                NOVEL_AR50: novel,
            },
            words=folder / WORDS,
            similarity=folder / SIMILARITY,
        )

    def prepare(self, folder: Path, seed: int, on_progress: Progress) -> World:
        """Draw and train, unless the folder has it; the same seed and sizes give the same files.

        Raises:
            ConfigError: If the folder holds a world of another seed, of other sizes, or of a
                version that drew differently.
        """
        sizes = replace(self.sizes, seed=seed)
        made, recipe = folder / RECIPE, _recipe(sizes)
        if not made.exists():
            for derived in (WORDS, SIMILARITY):
                (folder / derived).unlink(missing_ok=True)
            make_shapes_world(folder, sizes, on_progress)
            with atomic_path(made) as temporary:  # last: what is here before is not finished
                temporary.write_text(json.dumps(recipe))
        elif {"revision": 1} | json.loads(made.read_text()) != recipe:  # the first named none
            raise ConfigError(
                "the folder holds another world, drawn with another seed, in other sizes or by "
                "another version",
                where=folder,
                mend="Name another folder with --output.",
            )
        world = self.world(folder)
        _write_words(folder, seed)
        on_progress("look at the crops", 0, 1)
        _write_similarity(world, folder)
        return world


def make_shapes_world(folder: Path, sizes: ShapesSettings, on_progress: Progress) -> int:
    """Draw a world, train a classifier on its crops and extract it; return its classes.

    What is in the folder is replaced. The seed is that of the sizes.
    """
    on_progress("draw the world", 0, 1)
    drawn = write_shapes_world(folder, sizes)
    network = folder / NETWORK
    train_classifier(
        drawn.crops,
        NUM_CLASSES,
        network,
        seed=sizes.seed,
        on_step=lambda step, steps, loss: on_progress("train the classifier", step, steps),
    )
    extracted = extract_weights(str(network), folder / CLASSIFIER, classes=drawn.classes)
    return extracted.num_classes


def _recipe(sizes: ShapesSettings) -> dict[str, Any]:
    """Return what decides a world, as JSON values."""
    recipe: dict[str, Any] = json.loads(json.dumps({"revision": WORLD_REVISION, **asdict(sizes)}))
    return recipe


def _write_words(folder: Path, seed: int) -> None:
    """Write a random vector for each word of the class names, as a text file and a classifier.

    They stand in for vectors learned from text, of which a drawn world has none: a class shares
    with another what their names share, and nothing else.
    """
    output, text = folder / WORDS, folder / "words.vec"
    if output.exists():
        return
    words = [word for values in ATTRIBUTES for word in values]
    vectors = np.random.default_rng((seed, WORD_WIDTH)).standard_normal((len(words), WORD_WIDTH))
    lines = [f"{len(words)} {WORD_WIDTH}"]
    for word, vector in zip(words, vectors.tolist(), strict=True):
        lines.append(" ".join([word, *(f"{number:.5f}" for number in vector)]))
    text.write_text("\n".join(lines) + "\n")
    extract_weights(str(text), output, classes=ShapesWorld.at(folder).classes)


def _write_similarity(world: World, folder: Path) -> None:
    """Average the classifier's probabilities over the crops of each class."""
    assert world.similarity is not None
    if world.similarity.exists():
        return
    backbone = BackboneSettings.model_validate(world.settings["backbone"])
    crops = ShapesWorld.at(folder).crops
    measure_crop_similarity(world.settings["classifier"], backbone, crops, world.similarity)


def _evaluation(group: str, split: ShapesSplit, world: ShapesWorld) -> EvaluationSet:
    truth = GroundTruthFiles(split.boxes, split.labels, world.hierarchy)
    return EvaluationSet(group, (split.images,), truth)


def _settings(
    world: ShapesWorld, classifier: Path, network: Path, iterations: int
) -> dict[str, Any]:
    """Return settings that train a small detector in a few minutes on one core."""
    return {
        "classifier": classifier,
        "data": {
            "images": world.train.images,
            "boxes": world.train.boxes,
            "classes": world.seen_classes,
            "hierarchy": world.hierarchy,
            "sampler": "uniform",
            "group_by_aspect_ratio": False,
            "workers": 0,  # decoding is cheap here; a second process would only compete
        },
        "backbone": {
            "name": "tiny",
            "weights": str(network),
            "trainable_stages": 5,
            "fpn_channels": 64,
        },
        "detector": {
            "roi_width": 256,
            "min_size": 128,
            "max_size": 128,
            "anchor_sizes": (16, 24, 36, 54, 80),
            "aspect_ratios": (1.0,),
            "proposals_train": 200,
            "proposals_test": 50,
            "rois_per_image": 32,  # RoIAlign's backward pass is most of a step on a CPU
            "foreground_fraction": 0.5,
            "detections_per_image": 100,
        },
        "optimizer": {"learning_rate": 0.015, "max_gradient_norm": 5.0},
        "schedule": {
            "iterations": iterations,
            "warmup_iterations": iterations * 3 // 20,
            "steps": (iterations * 13 // 20, iterations * 9 // 10),
        },
    }
