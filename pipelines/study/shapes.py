"""The procedural world of 960 classes, 100 of them with boxes, and a detector for a CPU."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipelines.data.shapes import NUM_CLASSES, ShapesSettings
from pipelines.data.shapes_world import ShapesSplit, ShapesWorld, write_shapes_world
from pipelines.evaluate import GroundTruthFiles
from pipelines.extract import extract_weights
from pipelines.study.worlds import (
    NOVEL_AP50,
    NOVEL_AR50,
    SEEN_AP50,
    EvaluationSet,
    Progress,
    World,
)
from pipelines.training.classifier import train_classifier

ITERATIONS = 1000
RECIPE = "world.json"


@dataclass(frozen=True)
class ShapesSource:
    """Draws the world and trains its classifier; each seed is another world.

    Args:
        iterations: Training steps of each detector.
        sizes: Of the world; its seed is that of the study.
    """

    iterations: int = ITERATIONS
    sizes: ShapesSettings | None = None
    name: str = field(default="shapes", init=False)
    seeded: bool = field(default=True, init=False)

    def prepare(self, folder: Path, seed: int, on_progress: Progress) -> World:
        """Draw and train, unless the folder has it; the same seed and sizes give the same files."""
        drawn = ShapesWorld.at(folder)
        network, classifier = folder / "network.safetensors", folder / "classifier.safetensors"
        sizes = self.sizes or ShapesSettings(seed=seed)
        made, recipe = folder / RECIPE, json.dumps(asdict(sizes))
        if not (made.exists() and made.read_text() == recipe):
            on_progress("draw the world", 0, 1)
            write_shapes_world(folder, sizes)
            train_classifier(
                drawn.crops,
                NUM_CLASSES,
                network,
                seed=seed,
                on_step=lambda step, steps, loss: on_progress("train the classifier", step, steps),
            )
            extract_weights(str(network), classifier, classes=drawn.classes)
            made.write_text(recipe)  # last: whatever is here before is not finished
        novel = _evaluation("novel", drawn.val_novel, drawn)
        return World(
            settings=shapes_settings(drawn, classifier, network, self.iterations),
            evaluations={
                SEEN_AP50: _evaluation("seen", drawn.val_seen, drawn),
                NOVEL_AP50: novel,
                NOVEL_AR50: novel,
            },
        )


def _evaluation(group: str, split: ShapesSplit, world: ShapesWorld) -> EvaluationSet:
    truth = GroundTruthFiles(split.boxes, split.labels, world.hierarchy)
    return EvaluationSet(group, (split.images,), truth)


def shapes_settings(
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
