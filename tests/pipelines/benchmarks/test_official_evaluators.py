"""Tests for pipelines.benchmarks.official_evaluators.

Those of the official code itself need WTN_OFFICIAL, a folder with two checkouts: ``models`` of
https://github.com/tensorflow/models and ``AE-WTN`` of https://github.com/xternalz/AE-WTN.
"""

import json
import os
from pathlib import Path

import pytest

from pipelines.benchmarks import official_release
from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.official_comparison import evaluate_files, largest_difference
from pipelines.benchmarks.official_evaluators import run_release, run_tensorflow_challenge
from pipelines.benchmarks.synthetic_detections import write_drawn_files
from pipelines.data.annotations import BoxTable
from pipelines.errors import ConfigError, RunError

FILES = EvaluationFiles(Path("predictions.csv"), Path("boxes.csv"))


@pytest.fixture(scope="module")
def checkouts() -> Path:
    """Return the folder of both checkouts, or skip the test where they are not at hand."""
    folder = os.environ.get("WTN_OFFICIAL")
    if not folder:
        pytest.skip("WTN_OFFICIAL is not set")
    return Path(folder)


@pytest.fixture
def goldens(real_data: Path) -> EvaluationFiles:
    """Return the files that expected.json holds the official figures of."""
    folder = real_data / "goldens" / "oid-challenge"
    labels = folder / "annotations-human-imagelabels.csv"
    return EvaluationFiles(folder / "predictions.csv", folder / "annotations-bbox.csv", labels)


def test_a_folder_that_is_not_tensorflow_models_is_refused(tmp_path: Path) -> None:
    """Before any process starts, and with the command that brings the checkout."""
    with pytest.raises(ConfigError) as caught:
        run_tensorflow_challenge(tmp_path, FILES)

    assert str(caught.value) == (
        f"{tmp_path}: not a checkout of tensorflow/models: it has no "
        "research/object_detection/core/standard_fields.py\n"
        "git clone --depth 1 https://github.com/tensorflow/models"
    )


@pytest.mark.usefixtures("same_process")
def test_an_evaluator_that_fails_is_a_failed_run(tmp_path: Path) -> None:
    """Whatever foreign code raises names the checkout, and never ends in a traceback."""
    for file in official_release.FILES:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("raise KeyError('surprise')\n")

    with pytest.raises(RunError, match=r"^\S+: the evaluator failed: KeyError: 'surprise'$"):
        run_release(tmp_path, FILES)


@pytest.mark.real_data
@pytest.mark.parametrize("weight", [0, 1])
def test_tensorflow_gives_the_expected_figures(
    checkouts: Path, goldens: EvaluationFiles, weight: int
) -> None:
    """Its code, run without TensorFlow, prints what it printed with it."""
    expected = json.loads((goldens.boxes.parent / "expected.json").read_text())
    wanted = expected[f"group_of_weight={weight}"]

    found = run_tensorflow_challenge(checkouts / "models", goldens, group_of_weight=weight)

    mean = wanted.pop("Precision/mAP@0.5IOU")
    by_class = {key.partition("IOU/")[2]: figure for key, figure in wanted.items()}
    assert found.mean_ap == pytest.approx(mean, abs=1e-12)
    assert largest_difference(by_class, found.per_class) <= 1e-12
    assert 0 < found.scoring_seconds < found.seconds


@pytest.mark.real_data
def test_the_release_gives_the_expected_figures(checkouts: Path, goldens: EvaluationFiles) -> None:
    """Its code, run without its compiled extension, prints what it printed with it."""
    wanted = json.loads((goldens.boxes.parent / "expected.json").read_text())["aewtn-release"]

    found = run_release(checkouts / "AE-WTN", goldens)

    assert found.mean_ap == pytest.approx(wanted["mAP"], abs=1e-12)
    assert largest_difference(wanted["AP"], found.per_class) <= 1e-12


def test_exhaustive_boxes_are_scored_alike(
    checkouts: Path, drawn_truth: BoxTable, tmp_path: Path
) -> None:
    """Without image-level labels every class is verified, for them as for us."""
    files = write_drawn_files(tmp_path, drawn_truth, "640x480", 20, images=150).files

    by_tensorflow = run_tensorflow_challenge(checkouts / "models", files)
    by_release = run_release(checkouts / "AE-WTN", files)

    assert largest_difference(by_tensorflow.per_class, evaluate_files("oid", files)) <= 1e-12
    assert largest_difference(by_release.per_class, evaluate_files("aewtn-release", files)) <= 1e-12


def test_numeric_image_ids_are_names(checkouts: Path, tmp_path: Path) -> None:
    """Equal scores are taken in the order of the ids as text, though pandas sees numbers."""
    pytest.importorskip("pandas")
    columns = "ImageID,LabelName,XMin,XMax,YMin,YMax"
    (tmp_path / "boxes.csv").write_text(
        f"{columns},IsGroupOf\n9,/m/1,0,0.5,0,0.5,0\n10,/m/1,0,0.5,0,0.5,0\n"
    )
    (tmp_path / "predictions.csv").write_text(
        f"{columns},Score\n9,/m/1,0.6,1,0.6,1,0.5\n10,/m/1,0,0.5,0,0.5,0.5\n"
    )
    files = EvaluationFiles(tmp_path / "predictions.csv", tmp_path / "boxes.csv")

    found = run_tensorflow_challenge(checkouts / "models", files)

    assert found.reader == "pandas"
    assert found.per_class == evaluate_files("oid", files) == {"/m/1": 0.25}
