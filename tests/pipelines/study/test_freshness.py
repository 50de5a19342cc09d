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
from pipelines.study.freshness import files_sha256, same_inputs, same_settings, sha256
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
    ("change", "same"),
    [
        (lambda tree: None, True),
        (lambda tree: tree.update(device="auto"), True),
        (lambda tree: tree.update(classifier=os.path.relpath(tree["classifier"])), True),
        (lambda tree: tree["backbone"].update(
            weights=os.path.relpath(tree["backbone"]["weights"])), True),
        (lambda tree: tree["schedule"].update(iterations=4), False),
        (lambda tree: tree["backbone"].update(weights=None), False),
        (lambda tree: tree.update(seed=1), False),
    ],
)  # fmt: skip
def test_settings_are_the_same_but_for_device_and_spelling(
    found: DetectorCheckpoint, settings_tree: dict[str, Any], change: Change, same: bool
) -> None:
    """A file may be named in another way and the device be another; nothing else may differ."""
    change(settings_tree)

    assert same_settings(found.config, validate_settings(settings_tree)) is same


def test_settings_of_another_version_are_others(
    found: DetectorCheckpoint, settings_tree: dict[str, Any]
) -> None:
    """A stored setting that is no longer known is no error: the training is done again."""
    stored = {**found.config, "detector": {**found.config["detector"], "forgotten": 1}}

    assert not same_settings(stored, validate_settings(settings_tree))


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
    assert same_inputs(found, settings, classifier)

    copy.write_bytes(copy.read_bytes() + b"\n")

    assert not same_inputs(found, settings, classifier)


def test_a_file_that_the_training_did_not_have_is_another_input(
    found: DetectorCheckpoint,
    classifier: ClassifierWeights,
    settings_tree: dict[str, Any],
    world: SimpleNamespace,
) -> None:
    """A hierarchy decides which classes count as negatives."""
    settings_tree["data"]["hierarchy"] = str(world.hierarchy)

    assert not same_inputs(found, validate_settings(settings_tree), classifier)


def test_the_classifier_counts_by_its_rows_and_ids(
    found: DetectorCheckpoint, classifier: ClassifierWeights, settings_tree: dict[str, Any]
) -> None:
    """Names may change; a row or an id may not."""
    settings = validate_settings(settings_tree)
    ids, names = classifier.vocabulary.ids, tuple(map(str.upper, classifier.vocabulary.names))

    renamed = replace(classifier, vocabulary=Vocabulary(ids, names))
    turned = replace(classifier, vocabulary=Vocabulary(ids[::-1], names))
    longer = replace(classifier, weight=2 * classifier.weight)

    assert same_inputs(found, settings, renamed)
    assert not same_inputs(found, settings, turned)
    assert not same_inputs(found, settings, longer)


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
