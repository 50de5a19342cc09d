"""Tests for pipelines.exporters.directory."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from pipelines.errors import MismatchError
from pipelines.exporters import directory
from pipelines.exporters.base import PlainDetector
from pipelines.models.detector_folder import read_folder


def test_folder_gives_back_the_detector(
    trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """What is read is what was written: rows, classes, groups, settings, and detections."""
    directory.write(trained, tmp_path)

    read = read_folder(tmp_path)

    assert torch.equal(read.head.weight, trained.head.weight)
    assert (read.head.vocabulary, read.head.groups) == (
        trained.head.vocabulary,
        trained.head.groups,
    )
    assert (read.settings, read.method) == (trained.settings, trained.method)
    found = directory.check(trained, tmp_path, pictures)
    assert (found.scores, found.boxes, found.unmatched) == (0.0, 0.0, 0)
    assert found.count > 100


def test_files_are_what_other_tools_read(trained: PlainDetector, tmp_path: Path) -> None:
    """Labels, preprocessing and weights stand under the names that their readers know."""
    directory.write(trained, tmp_path)

    config = json.loads((tmp_path / "config.json").read_text())
    ids, rows = trained.head.vocabulary.ids, len(trained.head.vocabulary)
    assert config["label_names"] == list(ids)
    assert config["id2label"]["0"] == trained.head.vocabulary.names[0]
    assert config["label2id"] == {label: int(i) for i, label in config["id2label"].items()}
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert (classes["activation"], classes["background_index"]) == ("sigmoid", None)
    assert [c["index"] for c in classes["classes"]] == list(range(rows))
    assert [c["group"] for c in classes["classes"]] == list(trained.head.groups)
    prepared = json.loads((tmp_path / "preprocessor_config.json").read_text())
    assert prepared["size"] == {"shortest_edge": 96, "longest_edge": 1333}
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        shape = file.get_slice("roi_heads.box_predictor.cls_score.weight").get_shape()
        assert shape == [rows, 32]
        assert file.get_slice("roi_heads.box_predictor.bbox_pred.weight").get_shape() == [4, 32]


def test_card_counts_the_classes_of_each_group(trained: PlainDetector, tmp_path: Path) -> None:
    """The model card names what is in the detector."""
    directory.write(trained, tmp_path)

    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: wtn\n")
    assert f"| novel | {trained.head.groups.count('novel')} |" in card
    assert trained.head.checkpoint_sha256 in card


def test_classes_of_one_name_have_labels_of_their_own() -> None:
    """The name alone would lose one of two cranes in label2id."""
    from pipelines.exporters.description import unique_labels

    assert unique_labels(("n1", "n2", "n3"), ("crane", "dog", "crane")) == [
        "crane (n1)",
        "dog",
        "crane (n3)",
    ]


def test_projected_features_are_refused(trained: PlainDetector, tmp_path: Path) -> None:
    """A plain head cannot do what zsd does."""
    from dataclasses import replace

    zsd = replace(trained, head=replace(trained.head, projection=torch.eye(32)))

    with pytest.raises(MismatchError, match="zsd projects"):
        directory.write(zsd, tmp_path)
    assert list(tmp_path.iterdir()) == []
