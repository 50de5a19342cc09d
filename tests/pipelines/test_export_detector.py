"""Tests for pipelines.export_detector."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from torch import Tensor

from pipelines.errors import ConfigError, MismatchError, RunError
from pipelines.export import export_head
from pipelines.export_detector import export_detector
from pipelines.exporters import directory, torchvision
from pipelines.exporters.base import Agreement, PlainDetector


def test_checked_on_the_images_of_training(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """Without --images the pictures that the checkpoint was trained on are taken."""
    report = export_detector(
        artifacts.checkpoint, tmp_path / "out", "torchvision", head=artifacts.head, count=2
    )

    assert [Path(name).stem for name in report.images] == ["img0", "img1"]
    assert report.agreement.count > 0
    assert (report.agreement.scores, report.agreement.unmatched) == (0.0, 0)
    assert (report.classes, report.groups) == (8, {"seen": 4, "novel": 3, "other": 1})
    files = list((tmp_path / "out").iterdir())
    assert {file.name for file in files} == {"model.py", "model.pth", "config.json", "classes.json"}
    assert report.bytes == sum(file.stat().st_size for file in files)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_pictures_come_before_those_in_folders(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """A picture can be named by itself, and the rest comes from what else is named."""
    picture = sorted(world.images.iterdir())[3]

    report = export_detector(
        artifacts.checkpoint,
        tmp_path / "out",
        "directory",
        images=[world.images_zip, picture],
        count=3,
    )

    assert report.images[0] == str(picture)
    assert [Path(name).stem for name in report.images] == ["img3", "img0", "img1"]


def test_a_folder_can_be_exported_again(
    artifacts: SimpleNamespace, world: SimpleNamespace, tmp_path: Path
) -> None:
    """The canonical folder stands for checkpoint and head, and needs images."""
    folder = tmp_path / "detector"
    export_detector(artifacts.checkpoint, folder, "directory", head=artifacts.head)

    report = export_detector(folder, tmp_path / "out", "torchvision", images=[world.images_zip])

    assert report.agreement.scores == 0.0
    with pytest.raises(ConfigError, match="has its head in it"):
        export_detector(folder, tmp_path / "other", "torchvision", head=artifacts.head)
    with pytest.raises(ConfigError, match="those of training are not at hand"):
        export_detector(folder, tmp_path / "other", "torchvision")


def test_chosen_classes_are_exported(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """The head decides what the export detects; without one it is all classes."""
    head = tmp_path / "head.safetensors"
    export_head(artifacts.checkpoint, head, classes="novel")

    some = export_detector(artifacts.checkpoint, tmp_path / "some", "directory", head=head)
    every = export_detector(artifacts.checkpoint, tmp_path / "every", "directory")

    assert (some.groups, every.classes) == ({"novel": 3}, 8)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (Agreement("detections", 100, 2e-4, 0.0), "a score by 0.0002 (at most 0.0001)"),
        (Agreement("detections", 100, 0.0, 0.1), "a box by 0.1 pixels (at most 0.05)"),
        (
            Agreement("detections", 100, 0.0, 0.0, 2),
            "2 detections of the two have no counterpart (100 compared)",
        ),
        (Agreement("detections", 0, 0.0, 0.0), "no detections in any of them"),
        (Agreement("RoIs", 9, float("nan"), 0.0), "a score by nan"),
        (Agreement("RoIs", 9, 0.0, float("nan")), "a box by nan pixels"),
        (Agreement("detections", 0, 0.0, 0.0, left_out=2), "(2 are too small or thin"),
    ],
)
def test_what_differs_is_not_kept(
    found: Agreement,
    message: str,
    artifacts: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An export beyond a tolerance leaves no file, and what was there before stays."""
    output = tmp_path / "out"
    export_detector(artifacts.checkpoint, output, "directory")
    before = (output / "config.json").read_bytes()

    def disagree(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
        return found

    monkeypatch.setattr(directory, "check", disagree)
    with pytest.raises(RunError) as error:
        export_detector(artifacts.checkpoint, output, "directory", overwrite=True)

    assert message in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (output / "config.json").read_bytes() == before


def test_a_wrong_row_is_found(
    artifacts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row that is written wrong is enough for the real comparison to fail."""
    written = directory.write

    def spoil(source: PlainDetector, folder: Path) -> None:
        weight = source.head.weight.clone()
        weight[2] += 0.05
        state = {k: v.clone() for k, v in source.model.state_dict().items()}
        model = directory.plain_detector(
            source.settings, replace(source.head, weight=weight), state
        )
        written(replace(source, model=model), folder)

    monkeypatch.setattr(directory, "write", spoil)
    with pytest.raises(RunError, match=r"class_head\.weight is not in it as it was written"):
        export_detector(artifacts.checkpoint, tmp_path / "out", "directory")
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_list_of_classes_is_found(
    artifacts: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes in another order would give every detection another name."""
    written = torchvision.write

    def spoil(source: PlainDetector, folder: Path) -> None:
        written(source, folder)
        path = folder / "classes.json"
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"classes": record["classes"][::-1]}))

    monkeypatch.setattr(torchvision, "write", spoil)
    with pytest.raises(RunError, match="the classes are not in it as they were written"):
        export_detector(artifacts.checkpoint, tmp_path / "out", "torchvision")
    assert list(tmp_path.iterdir()) == []


def test_what_stands_in_the_way_is_told_before_the_work(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """A link, a file for a folder, a folder for a file, and a folder of other things."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "classes.json").write_text("mine")
    for name, form, message in (
        ("file", "directory", "a file, and the form is a folder"),
        ("link", "directory", "a link, which is not replaced"),
        ("photos", "directory", "the folder holds 'a.jpg', which is not of the export"),
        ("notes", "directory", "the folder is no earlier export"),
        ("empty", "onnx", "a folder, and the form is a file"),
    ):
        with pytest.raises(ConfigError, match=message):
            export_detector(Path("nowhere"), tmp_path / name, form, overwrite=True)


@pytest.mark.parametrize("error", [OSError(5, "the disk fails"), KeyboardInterrupt()])
def test_an_earlier_export_survives_a_failure(
    error: BaseException,
    artifacts: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the new folder cannot be put in its place, the old one is back."""
    output = tmp_path / "out"
    export_detector(artifacts.checkpoint, output, "directory")
    before = (output / "config.json").read_bytes()
    (output / "__pycache__").mkdir()  # what Python leaves in a folder of code is no obstacle
    replaced = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if target == output:
            raise error
        return replaced(path, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(type(error)):
        export_detector(artifacts.checkpoint, output, "directory", overwrite=True)

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (output / "config.json").read_bytes() == before


def test_nothing_is_replaced_unasked(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """An output that exists needs --force; a folder of something else is never removed."""
    output = tmp_path / "out"
    export_detector(artifacts.checkpoint, output, "directory")

    with pytest.raises(ConfigError, match="out: exists"):
        export_detector(artifacts.checkpoint, output, "directory")
    export_detector(artifacts.checkpoint, output, "directory", overwrite=True)
    (output / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds 'mine\.txt', which is not of the export"):
        export_detector(artifacts.checkpoint, output, "directory", overwrite=True)

    assert (output / "mine.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_only_torchvision_approximates(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """Other forms have a sigmoid and refuse --approx-softmax."""
    with pytest.raises(ConfigError, match="onnx needs no approximation"):
        export_detector(artifacts.checkpoint, tmp_path / "o", "onnx", approximate_softmax=True)


def test_head_of_another_checkpoint_is_refused(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """A head serves the checkpoint that it was exported from, in every form."""
    from pipelines.artifacts import DetectionHead

    foreign = tmp_path / "foreign.safetensors"
    head = DetectionHead.load(artifacts.head)
    parents = [{"role": "checkpoint", "path": "x", "sha256": "0" * 64}]
    replace(head, provenance={"tool": "x", "parents": parents}).save(foreign)

    with pytest.raises(MismatchError, match="exported from another checkpoint"):
        export_detector(artifacts.checkpoint, tmp_path / "out", "directory", head=foreign)
