"""The whole path, once, as a user types it: from a classifier's file to drawn detections."""

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def as_json(ended: "subprocess.CompletedProcess[str]") -> dict:
    """Return what a successful command printed on stdout, which must be JSON and nothing else."""
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def test_every_stage_hands_a_file_to_the_next(
    wtn: Wtn, world: SimpleNamespace, settings_toml: Path, tmp_path: Path
) -> None:
    """Each command reads what the one before wrote, exits with 0 and prints only JSON."""
    classifier, head = tmp_path / "classifier.safetensors", tmp_path / "head.safetensors"
    run = tmp_path / "run"
    checkpoint = run / "checkpoint.safetensors"

    extracted = as_json(
        wtn("extract-weights", world.state_dict_pth, "--classes", world.class_list,
            "-o", classifier, "--json")
    )  # fmt: skip
    assert (extracted["num_classes"], extracted["width"]) == (7, 256)

    trained = wtn("train", "--config", settings_toml, "--classifier", classifier,
                  "--images", world.images_zip, "--hierarchy", world.hierarchy,
                  "-o", run, "--json")  # fmt: skip
    groups = {name: as_json(trained)[name] for name in ("seen", "other", "novel")}
    assert groups == {"seen": 4, "other": 1, "novel": 3}
    assert {file.name for file in run.iterdir()} - {".lock"} == {
        "settings.toml", "metrics.jsonl", "timings.jsonl", "checkpoints",
        "checkpoint.safetensors", "environment.json", "losses.png", "learning-rates.png",
        "model-card.md",
    }  # fmt: skip
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [record["iteration"] for record in records] == [1, 2, 3]
    for loss in records[0]["losses"]:
        assert f"{loss.removeprefix('loss_')} " in trained.stderr
    assert "train 3/3 eta 0:00:00" in trained.stderr

    exported = as_json(wtn("export-head", checkpoint, "-o", head, "--json"))
    assert (exported["classes"], exported["groups"]) == (8, groups)

    inspected = as_json(wtn("inspect", head, "--json"))
    assert inspected["groups"] == groups

    drawn = tmp_path / "drawn"
    predicted = as_json(
        wtn("predict", world.images, "--checkpoint", checkpoint, "--head", head,
            "--save", drawn, "--score-threshold", 0, "--json")
    )  # fmt: skip
    assert [len(image["detections"]) > 0 for image in predicted["images"]] == 6 * [True]
    for image in predicted["images"]:
        Image.open(image["picture"]).verify()


@pytest.mark.parametrize("metric", ["oid", "aewtn-release"])
def test_saved_predictions_score_as_the_detector_did(
    wtn: Wtn, world: SimpleNamespace, artifacts: SimpleNamespace, tmp_path: Path, metric: str
) -> None:
    """Scoring the file that --save-predictions wrote gives the figures of the run that wrote it."""
    truth = ("--boxes", world.boxes, "--image-labels", world.image_labels, "--metric", metric)
    saved, per_class = tmp_path / "predictions.csv", tmp_path / "ap.csv"

    detected = as_json(
        wtn("evaluate", "--checkpoint", artifacts.checkpoint, "--head", artifacts.head,
            "--images", world.images, *truth, "--save-predictions", saved,
            "--per-class", per_class, "--json")
    )  # fmt: skip
    scored = as_json(
        wtn("evaluate", "--predictions", saved, "--head", artifacts.head, "--classes", "all",
            "--max-detections", detected["protocol"]["max_detections"],
            "--image-sizes", "64x64", *truth, "--json")
    )  # fmt: skip

    assert detected == scored
    assert detected["metric"] == metric
    assert 0 <= detected["AP50"] <= 1
    assert [detected["groups"][group]["classes"] for group in ("seen", "novel", "other")] == [
        4, 3, 1,
    ]  # fmt: skip
    with per_class.open() as file:
        rows = {row["LabelName"]: row for row in csv.DictReader(file)}
    assert {i: row["AP50"] and float(row["AP50"]) for i, row in rows.items()} == {
        i: "" if figure is None else figure for i, figure in detected["per_class"].items()
    }
    assert rows[world.other_id]["Group"] == "other"
