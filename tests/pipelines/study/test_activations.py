"""Tests for pipelines.study.activations.

Classes a to e of the classifier; c and a have boxes, and so has x, which the classifier lacks.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.errors import ConfigError
from pipelines.models.checkpoints import class_row_source
from pipelines.models.heads import build_head
from pipelines.models.state_names import CLASS_HEAD
from pipelines.study.activations import ActivationNorms, activation_norms
from pipelines.vocabulary import Vocabulary

WIDTH, ROI_WIDTH = 4, 6
CLASSIFIER = Vocabulary(tuple("abcde"), tuple("ABCDE"))
DETECTION = Vocabulary(tuple("cxa"), tuple("CXA"))
ROWS = torch.tensor([3.0, 4, 0, 0]) * torch.arange(1.0, 6)[:, None]  # of length 5, 10, ... 25


def checkpoint(folder: Path, head: Mapping[str, object], state: Mapping[str, Tensor]) -> Path:
    """Write a checkpoint of a head, some of whose tensors are given."""
    tree = {
        "classifier": "c",
        "data": {"images": "i", "boxes": "b"},
        "detector": {"roi_width": ROI_WIDTH},
        "head": {"hidden": WIDTH, **head},
    }
    source = class_row_source(ROWS, CLASSIFIER, DETECTION)
    built = build_head(validate_settings(tree).head, source, ROI_WIDTH)
    tensors = built.state_dict() | {f"transfer.encoder.{name}": t for name, t in state.items()}
    model = {f"{CLASS_HEAD}{name}": tensor for name, tensor in tensors.items()}
    classifier = ClassifierWeights(ROWS, None, CLASSIFIER, "rows:x")
    path = folder / "checkpoint.safetensors"
    DetectorCheckpoint(model, classifier, DETECTION, tree, iteration=1).save(path)
    return path


def test_norms_are_those_of_each_group(tmp_path: Path) -> None:
    """A first layer that changes nothing leaves the lengths of the rows: 15, 5 and 10, 20, 25."""
    path = checkpoint(tmp_path, {"method": "wtn"}, {"0.weight": torch.eye(WIDTH)})

    norms = activation_norms(path)

    np.testing.assert_allclose(norms.seen, [15, 5])  # in detection order: c, a
    np.testing.assert_allclose(norms.novel, [10, 20, 25])


def test_batch_norm_takes_the_statistics_of_training(tmp_path: Path) -> None:
    """With a variance of 4 gathered in training, lengths are halved whatever the rows at hand."""
    state = {
        "0.weight": torch.eye(WIDTH),
        "1.weight": torch.ones(WIDTH),
        "1.running_mean": torch.zeros(WIDTH),
        "1.running_var": torch.full((WIDTH,), 4.0),
    }
    settings = {"method": "wtn+", "norm": "batch", "input_norm": False}

    norms = activation_norms(checkpoint(tmp_path, settings, state))

    np.testing.assert_allclose(norms.novel, [5, 10, 12.5], rtol=1e-5)


def test_dropout_is_off(tmp_path: Path) -> None:
    """A trained network is measured as it is used, not as it is trained."""
    settings = {"method": "wtn", "dropout": 0.9}

    norms = activation_norms(checkpoint(tmp_path, settings, {"0.weight": torch.eye(WIDTH)}))

    np.testing.assert_allclose(norms.seen, [15, 5])


def test_a_method_without_transfer_is_refused(tmp_path: Path) -> None:
    """The message names the method and those that have a hidden layer."""
    path = checkpoint(tmp_path, {"method": "faster-rcnn"}, {})

    with pytest.raises(ConfigError, match="'faster-rcnn' has no hidden activations") as raised:
        activation_norms(path)

    assert raised.value.where == str(path)
    assert "ae-wtn" in str(raised.value.mend)


def test_figures_are_means_and_sample_variances() -> None:
    """Of 1, 3 and of 2, 4, 9: variances 2 and 13, so the ratio is 6.5."""
    figures = ActivationNorms(np.array([1.0, 3.0]), np.array([2.0, 4.0, 9.0])).figures()

    assert figures == {
        "mean_seen": 2,
        "mean_novel": 5,
        "variance_seen": 2,
        "variance_novel": 13,
        "variance_ratio": 6.5,
    }


def test_what_is_undefined_is_nan() -> None:
    """One class has no variance, none has no mean, and nothing compares with a variance of 0."""
    figures = ActivationNorms(np.array([1.0]), np.empty(0)).figures()
    still = ActivationNorms(np.array([1.0, 1.0]), np.array([1.0, 2.0])).figures()

    undefined = {name for name, value in figures.items() if np.isnan(value)}
    assert undefined == {"mean_novel", "variance_seen", "variance_novel", "variance_ratio"}
    assert np.isnan(still["variance_ratio"])
