"""Tests for pipelines.train: the evaluation during training."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.artifacts import DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.errors import ConfigError, RunError
from pipelines.evaluate import GroundTruthFiles, evaluate_detector
from pipelines.metrics.periodic_evaluation import PeriodicEvaluation
from pipelines.metrics.scorer import Scoring
from pipelines.train import TrainReport, train_detector

Tree = dict[str, Any]


def train(tree: Tree, output: Path, **more: Tree) -> TrainReport:
    """Train with more settings than those of the tree."""
    return train_detector(validate_settings({**tree, **more}), output)


def test_training_does_not_notice_an_evaluation(
    settings_tree: Tree, world: SimpleNamespace, large_boxes: Path, tmp_path: Path
) -> None:
    """Weights and records are bit for bit those without, and the best has its recorded figure."""
    settings_tree["detector"]["anchor_sizes"] = [32, 36, 40, 44, 48]
    settings_tree["head"] |= {"dropout": 0.3}
    settings_tree["schedule"]["iterations"] = 4
    evaluation = {"every": 3, "boxes": large_boxes, "images": world.images}
    plain = train(settings_tree, tmp_path / "plain")

    watched = train(settings_tree, tmp_path / "watched", evaluation=evaluation,
                    checkpoints={"keep_best": "novel_AP50"})  # fmt: skip

    expected = DetectorCheckpoint.load(plain.checkpoint).model
    found = DetectorCheckpoint.load(watched.checkpoint).model
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    records = [json.loads(line) for line in
               (tmp_path / "watched" / "metrics.jsonl").read_text().splitlines()]  # fmt: skip
    steps = [record for record in records if "evaluation" not in record]
    lines = (tmp_path / "plain" / "metrics.jsonl").read_text().splitlines()
    assert steps == [json.loads(line) for line in lines]
    figures = {r["iteration"]: r["evaluation"] for r in records if "evaluation" in r}
    assert list(figures) == [3, 4]
    assert list(figures[3]) == ["seen_AP50", "novel_AP50"]
    best = DetectorCheckpoint.load(tmp_path / "watched" / "best.safetensors")
    value = figures[best.iteration]["novel_AP50"]
    assert value == max(each["novel_AP50"] for each in figures.values()) > 0
    report = evaluate_detector(
        tmp_path / "watched" / "best.safetensors",
        None,
        [world.images],
        GroundTruthFiles(large_boxes),
        scoring=Scoring(classes="novel"),
    )
    assert value == report.by_group()[0].AP50


def test_an_evaluation_that_cannot_be_is_refused_before_the_first_step(
    settings_tree: Tree, world: SimpleNamespace, large_boxes: Path, tmp_path: Path
) -> None:
    """And nothing is written."""
    evaluation = {"every": 2, "boxes": large_boxes, "images": world.images}

    with pytest.raises(ConfigError, match="no figure 'other_AP50'"):
        train(settings_tree, tmp_path / "run", evaluation=evaluation,
              checkpoints={"keep_best": "other_AP50"})  # fmt: skip

    assert not (tmp_path / "run").exists()


def test_what_was_trained_is_saved_when_an_evaluation_fails(
    settings_tree: Tree, world: SimpleNamespace, large_boxes: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Whatever it failed of: here its temporary files have no room."""
    evaluation = {"every": 2, "boxes": large_boxes, "images": world.images}

    def fail(evaluation: PeriodicEvaluation, model: object) -> None:
        raise RunError("no detections can be put aside here")

    monkeypatch.setattr(PeriodicEvaluation, "__call__", fail)
    with pytest.raises(RunError, match="no detections"):
        train(settings_tree, tmp_path / "run", evaluation=evaluation)

    assert DetectorCheckpoint.load(tmp_path / "run" / "checkpoint.safetensors").iteration == 2
