"""Tests for ``wtn similarity``, and for the head that is exported with it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pipelines.artifacts import ClassifierWeights, DetectionHead
from pipelines.class_similarity import ClassSimilarity

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def measure(world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path, wtn: Run) -> Run:
    """Return a function that measures the tiny world's similarity, with more options."""

    def run(*options: object) -> "subprocess.CompletedProcess[str]":
        network = ("--backbone", "tiny", "--backbone-weights", world.state_dict)
        images = ("--images", world.images, "--image-labels", world.image_labels)
        output = ("-o", tmp_path / "similarity.safetensors", "--image-size", 64)
        classifier = ("--classifier", artifacts.classifier)
        return wtn("similarity", *classifier, *network, *images, *output, *options)

    return run


@pytest.fixture
def faster_rcnn(settings_toml: Path, tmp_path: Path, wtn: Run) -> Path:
    """Return a checkpoint of the method that borrows."""
    run = wtn("train", "--config", settings_toml, "--method", "faster-rcnn", "-o", tmp_path / "run")
    assert run.returncode == 0, run.stderr
    return tmp_path / "run" / "checkpoint.safetensors"


def test_it_says_what_was_measured(measure: Run) -> None:
    """Four classes have images and a classifier row."""
    told, as_json = measure(), measure("--json", "--max-images", 1, "--activation", "sigmoid")

    assert told.returncode == 0, told.stderr
    assert "4 with images, of 7" in told.stdout
    report = json.loads(as_json.stdout)
    assert (report["classes"], report["classifier_classes"], report["fewest"]) == (4, 7, 1)


@pytest.mark.parametrize(
    "option", [("--image-std", 0.5, 0, 0.5), ("--image-mean", 0.5, "nan", 0.5)], ids=str
)
def test_pixels_must_stay_numbers(measure: Run, option: tuple[object, ...]) -> None:
    """A mean must be finite and a spread above 0."""
    run = measure(*option)

    assert run.returncode == 2
    assert "--image-std above 0 in each channel" in run.stderr


def test_a_head_is_exported_with_it(measure: Run, faster_rcnn: Path, wtn: Run) -> None:
    """Only the seen classes had images, so the others need leave to use the proxy."""
    assert measure().returncode == 0
    similarity = faster_rcnn.parent.parent / "similarity.safetensors"
    export = ("export-head", faster_rcnn, "-o", faster_rcnn.parent / "head.safetensors")

    refused = wtn(*export, "--similarity", similarity)
    exported = wtn(*export, "--similarity", similarity, "--neighbor-weights", "softmax")

    assert refused.returncode == 4
    assert "no image of Cat, Fox, Gun was given" in refused.stderr
    assert "--neighbor-weights softmax" in refused.stderr
    assert exported.returncode == 0, exported.stderr
    line = "3 by rows: all seen classes by cosine of raw rows, softmax of temperature 1\n"
    assert " ".join(exported.stdout.split()).endswith(line.strip())


def test_every_option_about_neighbours_is_taken(faster_rcnn: Path, wtn: Run) -> None:
    """The head records the settings that the flags gave."""
    head = faster_rcnn.parent / "head.safetensors"
    options = ("--neighbors", 2, "--neighbor-metric", "l2", "--neighbor-rows", "normalized")
    softmax = ("--neighbor-weights", "softmax", "--temperature", 0.5)

    run = wtn("export-head", faster_rcnn, "-o", head, *options, *softmax, "--json")

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["borrowed"] == {"rows": 3}
    assert DetectionHead.load(head).provenance["neighbors"] == {
        "count": 2, "metric": "l2", "rows": "normalized", "weights": "softmax", "temperature": 0.5,
    }  # fmt: skip


def test_neighbours_are_refused_where_nothing_is_borrowed(
    artifacts: SimpleNamespace, tmp_path: Path, wtn: Run
) -> None:
    """AE-WTN makes every row from the classifier's."""
    run = wtn("export-head", artifacts.checkpoint, "-o", tmp_path / "h", "--neighbors", 2)

    assert run.returncode == 2
    assert "ae-wtn borrows nothing" in run.stderr
    assert not (tmp_path / "h").exists()
    assert "Say how much with --neighbor-share" in run.stderr


@pytest.mark.parametrize("share", [0, -0.1, "nan", "inf", 2])
def test_a_share_is_a_part(share: object, tmp_path: Path, wtn: Run) -> None:
    """What is no share of a row is bad usage, before anything is read."""
    run = wtn("export-head", tmp_path / "none", "-o", tmp_path / "h", "--neighbor-share", share)

    assert run.returncode == 2
    assert "--neighbor-share must be above 0 and at most 1" in run.stderr


def test_a_share_is_refused_where_all_is_borrowed(faster_rcnn: Path, wtn: Run) -> None:
    """Faster R-CNN has no row of its own for a class without boxes."""
    run = wtn("export-head", faster_rcnn, "-o", faster_rcnn.parent / "h", "--neighbor-share", 0.3)

    assert run.returncode == 2
    assert "under faster-rcnn a class without boxes has no row of its own" in run.stderr
    assert "Leave --neighbor-share out" in run.stderr
    assert not (faster_rcnn.parent / "h").exists()


def test_a_share_is_refused_where_no_row_can_be_mixed(
    settings_toml: Path, tmp_path: Path, wtn: Run
) -> None:
    """ZSD compares features with the classifier's own rows."""
    wtn("train", "--config", settings_toml, "--method", "zsd", "-o", tmp_path / "run")
    checkpoint = tmp_path / "run" / "checkpoint.safetensors"

    run = wtn("export-head", checkpoint, "-o", tmp_path / "h", "--neighbor-share", 0.3)

    assert run.returncode == 2
    assert "zsd borrows nothing" in run.stderr
    assert "Leave the options about neighbours out" in run.stderr


def test_a_head_tells_the_share_that_was_borrowed(
    artifacts: SimpleNamespace, tmp_path: Path, wtn: Run
) -> None:
    """``wtn inspect`` shows what AE-WTN's rows were mixed with, as the export did."""
    head = tmp_path / "head.safetensors"

    exported = wtn("export-head", artifacts.checkpoint, "-o", head, "--neighbor-share", 0.3)
    shown = wtn("inspect", head, "--json")

    assert exported.returncode == 0, exported.stderr
    line = "3 by rows: 4 nearest by cosine of raw rows, 0.3 of each row"
    assert line in " ".join(exported.stdout.split())
    made = json.loads(shown.stdout)["made"]
    assert (made["method"], made["borrowed"]) == ("ae-wtn", {"rows": 3})
    assert made["neighbors"] == {
        "count": 4, "metric": "cosine", "rows": "raw", "weights": "uniform", "share": 0.3,
    }  # fmt: skip


def test_a_line_tells_how_each_rule_chose_neighbours(
    artifacts: SimpleNamespace, tmp_path: Path, wtn: Run
) -> None:
    """Two classes have images and one has none; a metric is of rows, the share of both."""
    classes = ClassifierWeights.load(artifacts.classifier).vocabulary
    novel = DetectionHead.load(artifacts.head).groups.index("novel")
    others = [row for row in range(len(classes)) if row != novel]  # all but one have images
    values = torch.full((len(others), len(classes)), 0.1)
    images = torch.ones(len(others), dtype=torch.int64)
    path = tmp_path / "similarity.safetensors"
    ClassSimilarity(values, images, classes.subset(others), classes).save(path)
    export = ("export-head", artifacts.checkpoint, "-o", tmp_path / "h", "--similarity", path,
              "--neighbor-weights", "softmax", "--neighbor-share", 0.25)  # fmt: skip

    everything, two = wtn(*export), wtn(*export, "--neighbors", 2)

    by_rows, share = "by cosine of raw rows, softmax of temperature 1", ", 0.25 of each row"
    for run, alike, nearest in (
        (everything, "all seen classes", "all seen classes"),
        (two, "2 most alike", "2 nearest"),
    ):
        said = " ".join(run.stdout.split()).partition("neighbours ")[2]
        assert said.endswith(share)
        assert sorted(said.removesuffix(share).split("; ")) == [
            f"1 by rows: {nearest} {by_rows}",
            f"2 by images: {alike}",
        ]
