"""Fixtures shared by all tests: a tiny world of drawn rectangles, and every artifact made from it.

Sizes all differ, so a swapped axis cannot pass: C = 7 classifier classes, D = 5 detection classes,
S = 4 seen, O = 1 other, N = 3 novel, K = 8 classes of a head, R = 32, d = 256.
"""

import csv
import json
import os
import subprocess
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tomli_w
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file

from pipelines.artifacts import DetectionHead
from pipelines.config import validate_settings
from pipelines.export import export_head
from pipelines.extract import extract_weights
from pipelines.models.tiny import TinyConvNet
from pipelines.train import train_detector
from wtn_cli import app

CLASSIFIER_CLASSES = {
    "/m/05": "Apple",
    "/m/01": "Bus",
    "/m/07": "Cat",
    "/m/03": "Dog",
    "/m/02": "Egg",
    "/m/06": "Fox",
    "/m/04": "Gun",
}  # by row, deliberately not in the order of the ids
OTHER_CLASS = "/m/025"  # sorts between the seen classes
DETECTION_CLASSES = {"/m/01": "red", "/m/02": "green", OTHER_CLASS: "white", "/m/03": "blue",
                     "/m/05": "yellow"}  # fmt: skip
BOX_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
IMAGE_SIDE = 64


@pytest.fixture(scope="session", autouse=True)
def _two_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real data, or skip the test where it is not at hand."""
    folder = os.environ.get("WTN_REAL_DATA")
    if not folder:
        pytest.skip("WTN_REAL_DATA is not set")
    return Path(folder)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return the user's files; a test that spoils one writes a copy of its own.

    Attributes:
        images: Folder of six images of 64 x 64 pixels, half of them JPEG and half PNG.
        images_zip: The same in a zip file.
        boxes: Open Images box CSV of the detection classes, two boxes an image.
        image_labels: Verified image-level labels CSV.
        hierarchy: JSON in which the first detection class stands above the second.
        class_list: CSV that names the classifier's rows.
        state_dict: The classifier as safetensors.
        state_dict_pth: The same as a PyTorch file.
        classifier_ids: By row of the classifier.
        detection_ids: Sorted.
        other_id: Has boxes, but no classifier row.
    """
    folder = tmp_path_factory.mktemp("world")
    boxes = _boxes()
    images = folder / "images"
    images.mkdir()
    image_ids = sorted({str(box[0]) for box in boxes})
    for number, image_id in enumerate(image_ids):
        suffix = "png" if number % 2 else "jpg"
        _draw([box for box in boxes if box[0] == image_id]).save(images / f"{image_id}.{suffix}")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for file in sorted(images.iterdir()):
            archive.write(file, f"train/{file.name}")
    _write_csv(folder / "boxes.csv", BOX_COLUMNS, boxes)
    labels = [(image_id, c, 1) for image_id, c in sorted({(box[0], box[1]) for box in boxes})]
    labels += [(image_id, "/m/07", 0) for image_id in image_ids]
    _write_csv(folder / "labels.csv", ("ImageID", "LabelName", "Confidence"), labels)
    first, second, *rest = DETECTION_CLASSES
    children = [{"LabelName": first, "Subcategory": [{"LabelName": second}]}]
    tree = {"LabelName": "/m/0", "Subcategory": [*children, *({"LabelName": i} for i in rest)]}
    (folder / "hierarchy.json").write_text(json.dumps(tree))
    _write_csv(folder / "classes.csv", ("LabelName", "DisplayName"), CLASSIFIER_CLASSES.items())
    return SimpleNamespace(
        images=images,
        images_zip=folder / "images.zip",
        boxes=folder / "boxes.csv",
        image_labels=folder / "labels.csv",
        hierarchy=folder / "hierarchy.json",
        class_list=folder / "classes.csv",
        state_dict=_save_classifier(folder / "classifier-net.safetensors"),
        state_dict_pth=_save_classifier(folder / "classifier-net.pth"),
        classifier_ids=tuple(CLASSIFIER_CLASSES),
        detection_ids=tuple(DETECTION_CLASSES),
        other_id=OTHER_CLASS,
    )


@pytest.fixture(scope="session")
def artifacts(world: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Return what the stages make of the tiny world.

    Attributes:
        classifier: By extract_weights.
        run: The folder of a training of three iterations.
        checkpoint: The detector in it.
        head: All classes of the checkpoint.
    """
    folder = tmp_path_factory.mktemp("artifacts")
    classifier, head = folder / "classifier.safetensors", folder / "head.safetensors"
    extract_weights(str(world.state_dict), classifier, classes=world.class_list)
    settings = validate_settings(_tiny_settings(world, classifier))
    report = train_detector(settings, folder / "run")
    export_head(report.checkpoint, head)
    return SimpleNamespace(
        classifier=classifier, run=folder / "run", checkpoint=report.checkpoint, head=head
    )


@pytest.fixture
def certain_head(artifacts: SimpleNamespace, tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a head: every proposal has the given logits, by class id.

    A class that is not named is never found.
    """

    def write(**logits: float) -> Path:
        head = DetectionHead.load(artifacts.head)
        bias = torch.full_like(head.bias, -50.0)
        bias[head.vocabulary.rows(logits)] = torch.tensor(list(logits.values()))
        path = tmp_path / f"certain-of-{len(logits)}.safetensors"
        replace(head, weight=torch.zeros_like(head.weight), bias=bias).save(path)
        return path

    return write


@pytest.fixture
def large_boxes(tmp_path: Path) -> Path:
    """Return large boxes of a seen and of a novel class, some of which a bad detector finds."""
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax"] + [
        f"img{image},{class_id},{x},{x + 0.6},{x},{x + 0.6}"
        for image in range(6)
        for class_id in ("/m/01", "/m/04")
        for x in (0.0, 0.2, 0.4)
    ]
    path = tmp_path / "large-boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def settings_tree(world: SimpleNamespace, artifacts: SimpleNamespace) -> dict[str, Any]:
    """Return the settings of a training of three iterations; the test may change them."""
    return _tiny_settings(world, artifacts.classifier)


@pytest.fixture
def settings_toml(settings_tree: dict[str, Any], tmp_path: Path) -> Path:
    """Return the same settings in a file."""
    path = tmp_path / "settings.toml"
    path.write_text(tomli_w.dumps(settings_tree))
    return path


@pytest.fixture
def wtn(capsys: pytest.CaptureFixture[str]) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Return a function that runs one command in this process."""

    def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
        given = [str(argument) for argument in arguments]
        with pytest.raises(SystemExit) as ended:
            app.main(given)
        captured = capsys.readouterr()
        return subprocess.CompletedProcess(given, ended.value.code, captured.out, captured.err)

    return run


def _tiny_settings(world: SimpleNamespace, classifier: Path) -> dict[str, Any]:
    """Return the least settings that exercise every part of the detector."""
    return {
        "classifier": str(classifier),
        "device": "cpu",
        "data": {
            "images": str(world.images),
            "boxes": str(world.boxes),
            "sampler": "uniform",  # so that three steps meet all images
            "workers": 0,
        },
        "backbone": {"name": "tiny", "weights": str(world.state_dict), "fpn_channels": 16},
        "detector": {
            "min_size": IMAGE_SIDE,
            "anchor_sizes": [8, 16, 24, 32, 48],
            "roi_width": 32,
            "proposals_train": 50,
            "proposals_test": 50,
            "rois_per_image": 16,
        },
        "head": {"groups": 8},
        "schedule": {"iterations": 3, "batch_size": 2, "warmup_iterations": 1, "log_every": 1},
    }


def _write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _boxes() -> list[tuple[str | float, ...]]:
    """Return two boxes for each of six images, going round the detection classes."""
    classes = list(DETECTION_CLASSES) * 3
    boxes: list[tuple[str | float, ...]] = []
    for number in range(6):
        left = (f"img{number}", classes[2 * number], 0.05, 0.4, 0.1 + number / 50, 0.6, 0)
        right = (f"img{number}", classes[2 * number + 1], 0.5, 0.95, 0.3, 0.8 + number / 50, 0)
        boxes += [left, right]
    return boxes


def _draw(boxes: Iterable[tuple[Any, ...]]) -> Image.Image:
    image = Image.new("RGB", (IMAGE_SIDE, IMAGE_SIDE), "gray")
    canvas = ImageDraw.Draw(image)
    for _, class_id, xmin, xmax, ymin, ymax, _ in boxes:
        corners = [round(side * IMAGE_SIDE) for side in (xmin, ymin, xmax, ymax)]
        canvas.rectangle(corners, fill=DETECTION_CLASSES[class_id])
    return image


def _save_classifier(path: Path) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        state = TinyConvNet(num_classes=len(CLASSIFIER_CLASSES)).state_dict()
    if path.suffix == ".pth":
        torch.save(state, path)
    else:
        save_file(state, path)
    return path
