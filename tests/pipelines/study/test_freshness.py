"""Tests for pipelines.study.freshness, on the tiny detector that all tests share."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import validate_settings
from pipelines.study.freshness import (
    files_sha256,
    other_inputs,
    other_settings,
    sha256,
)
from pipelines.vocabulary import Vocabulary

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def found(artifacts: SimpleNamespace) -> DetectorCheckpoint:
    """Return the checkpoint of a finished training."""
    return DetectorCheckpoint.load(artifacts.checkpoint)


@pytest.fixture
def classifier(artifacts: SimpleNamespace) -> ClassifierWeights:
    """Return what it was trained on."""
    return ClassifierWeights.load(artifacts.classifier)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: None,
        lambda tree: tree.update(device="auto", classifier="moved/classifier.safetensors"),
        lambda tree: tree["backbone"].update(weights="moved/network.safetensors"),
        lambda tree: tree["data"].update(boxes="moved/boxes.csv"),
        lambda tree: tree["data"].update(images=[f"moved/{Path(tree['data']['images']).name}"]),
    ],
)
def test_settings_are_the_same_but_for_device_and_places(
    found: DetectorCheckpoint, settings_tree: dict[str, Any], change: Change
) -> None:
    """Whatever the folder is called, and from wherever it is named, there or not."""
    change(settings_tree)

    assert other_settings(found.config, validate_settings(settings_tree)) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tree: tree["schedule"].update(iterations=4),
         "schedule.iterations is 3 there, 4 now"),
        (lambda tree: tree.update(seed=1), "seed is 0 there, 1 now"),
        (lambda tree: tree["backbone"].update(weights=None),
         "backbone.weights is a file there, unset now"),
        (lambda tree: tree["backbone"].update(weights="torchvision:resnet50"),
         "backbone.weights is a file there, torchvision:resnet50 now"),
        (lambda tree: tree["data"].update(hierarchy="tree.json"),
         "data.hierarchy is unset there, a file now"),
        (lambda tree: tree["data"].update(images=["other.zip"]),
         "data.images is images there, other.zip now"),
        (lambda tree: tree["data"].update(images=["a.zip", "b.zip"]), "a.zip, b.zip now"),
        (lambda tree: tree["data"].update(images=[]), "data.images is images there, unset now"),
    ],
)  # fmt: skip
def test_another_setting_is_told_with_both_values(
    found: DetectorCheckpoint, settings_tree: dict[str, Any], change: Change, told: str
) -> None:
    """The user sees which option to give, or that a file has come or gone."""
    change(settings_tree)

    (difference,) = other_settings(found.config, validate_settings(settings_tree))

    assert told in difference


def test_settings_of_another_version_are_others(
    found: DetectorCheckpoint, settings_tree: dict[str, Any]
) -> None:
    """A stored setting that is no longer known is no traceback; it is named."""
    stored = {**found.config, "detector": {**found.config["detector"], "forgotten": 1}}

    (difference,) = other_settings(stored, validate_settings(settings_tree))

    assert "its settings are not known here: " in difference
    assert "forgotten" in difference


@pytest.mark.parametrize("changed", ["boxes", "weights"])
def test_inputs_are_known_by_what_the_files_hold(
    found: DetectorCheckpoint,
    classifier: ClassifierWeights,
    settings_tree: dict[str, Any],
    tmp_path: Path,
    changed: str,
) -> None:
    """A copy serves as well, whatever its name, until a byte of it is another."""
    group = settings_tree["data" if changed == "boxes" else "backbone"]
    copy = Path(shutil.copy(group[changed], tmp_path / "copy"))
    group[changed] = str(copy)
    settings = validate_settings(settings_tree)
    assert other_inputs(found, settings, classifier) == []

    copy.write_bytes(copy.read_bytes() + b"\n")

    assert other_inputs(found, settings, classifier) == [f"{copy} is not what it was trained on"]


def test_a_file_that_is_lost_is_not_taken_for_the_same(
    found: DetectorCheckpoint, classifier: ClassifierWeights, settings_tree: dict[str, Any]
) -> None:
    """Its place does not count, so its contents must; a network may be named by text too."""
    settings_tree["backbone"]["weights"] = "moved/network.safetensors"

    with pytest.raises(FileNotFoundError, match="moved"):
        other_inputs(found, validate_settings(settings_tree), classifier)


def test_a_file_that_the_training_did_not_have_is_another_input(
    found: DetectorCheckpoint,
    classifier: ClassifierWeights,
    settings_tree: dict[str, Any],
    world: SimpleNamespace,
) -> None:
    """A hierarchy decides which classes count as negatives."""
    settings_tree["data"]["hierarchy"] = str(world.hierarchy)

    assert other_inputs(found, validate_settings(settings_tree), classifier) == [
        f"{world.hierarchy} is not what it was trained on"
    ]


def test_the_classifier_counts_by_its_rows_and_ids(
    found: DetectorCheckpoint, classifier: ClassifierWeights, settings_tree: dict[str, Any]
) -> None:
    """Names may change, and the last digit that a processor rounds; a row or an id may not."""
    settings = validate_settings(settings_tree)
    ids, names = classifier.vocabulary.ids, tuple(map(str.upper, classifier.vocabulary.names))

    renamed = replace(classifier, vocabulary=Vocabulary(ids, names))
    turned = replace(classifier, vocabulary=Vocabulary(ids[::-1], names))
    rounded = replace(classifier, weight=classifier.weight * (1 + 1e-6))
    longer = replace(classifier, weight=classifier.weight * (1 + 1e-4))
    narrower = replace(classifier, weight=classifier.weight[:, :1])

    for same in (renamed, rounded):
        assert other_inputs(found, settings, same) == []
    for other in (turned, longer, narrower):
        assert other_inputs(found, settings, other) == [
            f"{settings.classifier} is not what it was trained on"
        ]


def test_a_file_is_read_again_once_it_was_written_again(tmp_path: Path) -> None:
    """Also if it is as long as before: many runs of a study look at the same large files."""
    file = tmp_path / "boxes.csv"
    file.write_text("one")
    first = sha256(file)
    written = file.stat().st_mtime_ns

    file.write_text("two")
    os.utime(file, ns=(written, written + 1))

    assert sha256(file) != first


def test_folders_have_no_contents_to_compare(tmp_path: Path) -> None:
    """Images may lie in a folder, which is taken to be that of their boxes."""
    file = tmp_path / "val.zip"
    file.write_bytes(b"zip")

    assert files_sha256([tmp_path, file]) == [sha256(file)]
