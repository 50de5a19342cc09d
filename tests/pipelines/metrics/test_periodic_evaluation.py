"""Tests for pipelines.metrics.periodic_evaluation."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.evaluate import GroundTruthFiles, evaluate_detector
from pipelines.metrics.periodic_evaluation import PeriodicEvaluation
from pipelines.metrics.scorer import Scoring
from pipelines.training.inputs import load_inputs
from pipelines.training.model import build_model

Settings = Callable[..., TrainSettings]


@pytest.fixture
def boxes(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return large boxes of all classes, some of which even an untrained detector finds."""
    ids = [*world.classifier_ids, world.other_id]
    corners = [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0), (0.4, 0.4), (0.2, 0.2)]
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax"] + [
        f"img{image},{ids[(5 * image + place + more) % 8]},{x},{x + 0.6},{y},{y + 0.6}"
        for image in range(6)
        for place, (x, y) in enumerate(corners)
        for more in range(3)
    ]
    path = tmp_path / "evaluation-boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def settings(settings_tree: dict[str, Any], world: SimpleNamespace, boxes: Path) -> Settings:
    """Return a function that makes settings of an evaluation, in which detections are few."""

    def make(method: str = "ae-wtn", best: str | None = None, **evaluation: object) -> Any:  # noqa: ANN401
        tree = {**settings_tree, "head": {"method": method, "groups": 8}}
        width = 256 if method == "lsda" else 32
        tree["detector"] |= {
            "detections_per_image": 60, "roi_width": width, "anchor_sizes": [32, 36, 40, 44, 48],
        }  # fmt: skip
        given = {"every": 2, "boxes": boxes, "images": world.images}
        tree["evaluation"] = given | evaluation
        tree["checkpoints"] = {"keep_best": best} if best else {}
        return validate_settings(tree)

    return make


class Training:
    """A model that has not been trained, and what belongs to it."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings, inputs = settings, load_inputs(settings)
        torch.manual_seed(3)
        self.model: GeneralizedRCNN = build_model(settings, inputs).train()
        self.classifier: ClassifierWeights = inputs.classifier
        self.detection = inputs.detection
        self.evaluation = PeriodicEvaluation(settings, self.classifier, self.detection)

    def save(self, path: Path) -> Path:
        """Write a checkpoint."""
        config = self.settings.model_dump(mode="json", exclude_none=True)
        state = self.model.state_dict()
        DetectorCheckpoint(state, self.classifier, self.detection, config, 1).save(path)
        return path


@pytest.mark.parametrize(
    ("method", "metric"),
    [("ae-wtn", "oid"), ("ae-wtn", "coco"), ("lsda", "aewtn-release"), ("zsd", "oid")],
)
def test_the_figures_are_those_of_the_checkpoint(
    settings: Settings, world: SimpleNamespace, tmp_path: Path, method: str, metric: str
) -> None:
    """Each group's is what wtn evaluate finds when it looks for that group alone."""
    training = Training(settings(method, metric=metric))
    checkpoint = training.save(tmp_path / "checkpoint.safetensors")

    figures = training.evaluation(training.model)

    evaluation = training.settings.evaluation
    expected: dict[str, float] = {}
    for group in ("seen", "novel", "other"):
        report = evaluate_detector(
            checkpoint, None, [world.images], GroundTruthFiles(evaluation.boxes),
            scoring=Scoring(metric, classes=group),
        )  # fmt: skip
        summary = report.by_group()[0]
        expected[f"{group}_AP50"] = summary.AP50
        if metric == "coco":
            expected[f"{group}_AP"] = summary.coco.AP
    assert figures == expected
    assert sorted(training.evaluation.names) == sorted(expected)
    assert figures["seen_AP50"] > 0
