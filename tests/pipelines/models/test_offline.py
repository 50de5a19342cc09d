"""Tests for pipelines.models.offline: a head in memory serves as one that was exported."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.errors import ArtifactError, MismatchError
from pipelines.models.checkpoints import load_detector, restore_class_head
from pipelines.models.offline import load_head
from pipelines.train import train_detector

WORD_WIDTH = 10


@pytest.fixture(params=["sigmoid", "margin"])
def zsd(
    request: pytest.FixtureRequest,
    artifacts: SimpleNamespace,
    settings_tree: dict[str, Any],
    tmp_path: Path,
) -> Path:
    """Return a checkpoint of ZSD on word vectors, narrower than classifier rows and features."""
    classes = ClassifierWeights.load(artifacts.classifier).vocabulary
    rows = torch.randn(len(classes), WORD_WIDTH, generator=torch.Generator().manual_seed(0))
    words = tmp_path / "words.safetensors"
    ClassifierWeights(rows, None, classes, "rows:" + "0" * 64).save(words)
    head = {"method": "zsd", "zsd": {"mode": request.param}}
    settings = validate_settings(settings_tree | {"classifier": str(words), "head": head})
    return train_detector(settings, tmp_path / "zsd").checkpoint


def test_a_computed_head_is_the_exported_one(artifacts: SimpleNamespace) -> None:
    """The same rows, classes and groups, and it belongs to the same checkpoint."""
    computed, exported = load_head(artifacts.checkpoint), DetectionHead.load(artifacts.head)

    assert torch.equal(computed.weight, exported.weight)
    assert torch.equal(computed.bias, exported.bias)
    assert (computed.vocabulary, computed.groups) == (exported.vocabulary, exported.groups)
    assert computed.checkpoint_sha256 == exported.checkpoint_sha256
    assert load_head(artifacts.checkpoint, artifacts.head).provenance == exported.provenance


def test_a_detector_scores_zsd_as_training_did(zsd: Path) -> None:
    """The detector of a computed head gives the logits that the loss saw, class by class."""
    full = load_head(zsd)
    trained = DetectorCheckpoint.load(zsd)
    model = load_detector(zsd, full.subset(full.vocabulary.rows(trained.detection.ids)))
    x = torch.rand(13, 32)

    with torch.no_grad():
        expected = restore_class_head(trained)(x)
        torch.testing.assert_close(model.roi_heads.class_head(x), expected)
    assert full.weight.shape == (8, WORD_WIDTH)
    assert full.groups.count("novel") == 3


def test_a_cosine_head_is_exported(
    artifacts: SimpleNamespace, settings_tree: dict[str, Any], tmp_path: Path
) -> None:
    """A head file serves features of one length: rows, length and classes are those of training."""
    width = ClassifierWeights.load(artifacts.classifier).weight.shape[1]
    detector = settings_tree["detector"] | {"roi_width": width}
    head = {"method": "ae-wtn-cosine", "groups": 2}
    settings = validate_settings(settings_tree | {"detector": detector, "head": head})
    checkpoint = train_detector(settings, tmp_path / "cosine").checkpoint
    load_head(checkpoint).save(tmp_path / "head.safetensors")
    trained = DetectorCheckpoint.load(checkpoint)
    exported = DetectionHead.load(tmp_path / "head.safetensors")

    rows = exported.vocabulary.rows(trained.detection.ids)
    model = load_detector(checkpoint, exported.subset(rows))

    heads, x = model.roi_heads, torch.rand(5, 16, 7, 7)
    with torch.no_grad():
        features = heads.box_head(x)
        torch.testing.assert_close(features.norm(dim=1), torch.full((5,), width**0.5))
        expected = restore_class_head(trained)(features)
        torch.testing.assert_close(heads.class_head(features), expected)


def test_no_file_holds_a_zsd_head(zsd: Path, tmp_path: Path) -> None:
    """Saving it is refused with the reason, and nothing is written."""
    with pytest.raises(MismatchError, match=r"normalises the features.*\n.*without --head"):
        load_head(zsd).save(tmp_path / "head.safetensors")

    assert not (tmp_path / "head.safetensors").exists()


def test_a_computed_head_serves_its_own_checkpoint_only(
    artifacts: SimpleNamespace, zsd: Path
) -> None:
    """A head of another checkpoint is refused; where no file serves, none is suggested."""
    with pytest.raises(MismatchError, match=r"another checkpoint(.|\n)*wtn export-head"):
        load_detector(artifacts.checkpoint, load_head(zsd))
    with pytest.raises(MismatchError, match=r"No head file serves zsd(.|\n)*without --head"):
        load_detector(zsd, DetectionHead.load(artifacts.head))


def test_a_checkpoint_may_hold_a_margin_that_changed_nothing(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Its settings may be those of a file for all methods, and it detects as it did."""
    trained, file = DetectorCheckpoint.load(artifacts.checkpoint), tmp_path / "idle.safetensors"
    head = trained.config["head"] | {"zsd": {"mode": "sigmoid", "margin": 2.0}}
    replace(trained, config={**trained.config, "head": head}).save(file)

    assert torch.equal(load_head(file).weight, load_head(artifacts.checkpoint).weight)


def test_a_checkpoint_with_bad_settings_is_named(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """The file and the setting in it."""
    trained, file = DetectorCheckpoint.load(artifacts.checkpoint), tmp_path / "odd.safetensors"
    replace(trained, config={**trained.config, "forgotten": 1}).save(file)

    with pytest.raises(ArtifactError, match="not valid: unknown setting 'forgotten'") as raised:
        load_head(file)

    assert raised.value.where == str(file)
