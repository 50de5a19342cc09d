"""What a user who hands over something bad gets: one message, one exit code, nothing half-written.

Each row of the table is a way to spoil one file, the command that meets it, the exit code, and
what the message must say. In both, ``{bad}`` is the spoiled file and ``{out}`` the output.
"""

import json
import pickle
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.export import export_head
from pipelines.extract import extract_weights

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]
Spoil = Callable[[Path, SimpleNamespace], Path]  # a folder and the good files, to the bad file


@dataclass(frozen=True)
class Case:
    """One row: see the module's docstring."""

    name: str
    spoil: Spoil
    command: str
    code: int
    says: tuple[str, ...]


def nothing(folder: Path, good: SimpleNamespace) -> Path:
    """Return a path where no file is."""
    return folder / "none.file"


def empty_folder(folder: Path, good: SimpleNamespace) -> Path:
    """Return a folder without images."""
    (folder / "empty").mkdir()
    return folder / "empty"


def truncated(name: str) -> Spoil:
    """Spoil a good file by cutting off its last 1000 bytes."""

    def spoil(folder: Path, good: SimpleNamespace) -> Path:
        whole = getattr(good, name)
        path = folder / f"cut{whole.suffix}"
        path.write_bytes(whole.read_bytes()[:-1000])
        return path

    return spoil


def copied(name: str) -> Spoil:
    """Copy a good file."""

    def spoil(folder: Path, good: SimpleNamespace) -> Path:
        path = folder / f"copy-{getattr(good, name).name}"
        path.write_bytes(getattr(good, name).read_bytes())
        return path

    return spoil


def text(name: str, content: str) -> Spoil:
    """Write a file with this content."""

    def spoil(folder: Path, good: SimpleNamespace) -> Path:
        (folder / name).write_text(content)
        return folder / name

    return spoil


def edited(name: str, edit: Callable[[list[str]], Iterable[str]]) -> Spoil:
    """Change the lines of a good file."""

    def spoil(folder: Path, good: SimpleNamespace) -> Path:
        whole = getattr(good, name)
        path = folder / whole.name
        path.write_text("\n".join(edit(whole.read_text().splitlines())) + "\n")
        return path

    return spoil


def replaced(name: str, line: int, old: str, new: str) -> Spoil:
    """Change a good file in one line, counted from 1."""

    def edit(lines: list[str]) -> list[str]:
        assert old in lines[line - 1]
        lines[line - 1] = lines[line - 1].replace(old, new, 1)
        return lines

    return edited(name, edit)


def arbitrary_pickle(folder: Path, good: SimpleNamespace) -> Path:
    """Save an object whose loading would run code."""
    path = folder / "object.pth"
    torch.save({"fc.weight": torch.ones(7, 3), "args": SimpleNamespace(lr=0.1)}, path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)
    return path


def nan_in_state_dict(folder: Path, good: SimpleNamespace) -> Path:
    """Put a NaN into the classifier's row 3."""
    state = load_file(good.state_dict)
    state["fc.weight"][3, 5] = float("nan")
    save_file(state, folder / "nan.safetensors")
    return folder / "nan.safetensors"


def infinity_in_artifact(folder: Path, good: SimpleNamespace) -> Path:
    """Put an infinity into row 2 of an extracted file."""
    weights = ClassifierWeights.load(good.classifier)
    weights.weight[2, 0] = float("inf")
    weights.save(folder / "inf.safetensors")
    return folder / "inf.safetensors"


def narrow_classifier(folder: Path, good: SimpleNamespace) -> Path:
    """Extract rows of another width."""
    np.save(folder / "narrow.npy", np.ones((7, 100), np.float32))
    path = folder / "narrow.safetensors"
    extract_weights(str(folder / "narrow.npy"), path, classes=good.class_list)
    return path


def other_classifier(folder: Path, good: SimpleNamespace) -> Path:
    """Extract rows of the same shape from a network with another body."""
    state = load_file(good.state_dict)
    state["conv1.weight"] += 1
    save_file(state, folder / "other-net.safetensors")
    path = folder / "other.safetensors"
    extract_weights(str(folder / "other-net.safetensors"), path, classes=good.class_list)
    return path


def head_of_another_checkpoint(folder: Path, good: SimpleNamespace) -> Path:
    """Export from a checkpoint whose weights are the same but whose file is not."""
    checkpoint = DetectorCheckpoint.load(good.checkpoint)
    checkpoint.config["seed"] += 1  # type: ignore[index]
    checkpoint.save(folder / "other-checkpoint.safetensors")
    export_head(folder / "other-checkpoint.safetensors", folder / "other-head.safetensors")
    return folder / "other-head.safetensors"


def images_with(content: bytes | None) -> Spoil:
    """Copy the images, img3 with this content or not at all."""

    def spoil(folder: Path, good: SimpleNamespace) -> Path:
        (folder / "images").mkdir()
        for file in good.images.iterdir():
            if file.stem != "img3":
                (folder / "images" / file.name).write_bytes(file.read_bytes())
            elif content is not None:
                (folder / "images" / file.name).write_bytes(content)
        return folder / "images"

    return spoil


EXTRACT = "extract-weights {state_dict} -o {out}"
EXPORT = "export-head {checkpoint} -o {out}"
EVALUATE = "evaluate --checkpoint {checkpoint} --head {head} --save-predictions {out}"
SCORE = "evaluate --per-class {out}"
PREDICT = "predict {images} --checkpoint {checkpoint} --head {head} --save {out}"
TRAIN = "train --config {settings} -o {out}"
IN_ITS_FIRST_STEP = " --set data.group_by_aspect_ratio=false"  # with the seed of the settings
SETTINGS = 'classifier = "c.safetensors"\n[data]\nimages = "i.zip"\nboxes = "b.csv"\n'

CASES = [
    # A classifier and its classes
    Case("missing classifier", nothing, "extract-weights {bad} -o {out}", 3,
         ("{bad}: no such file",)),
    Case("truncated safetensors", truncated("state_dict"), "extract-weights {bad} -o {out}", 3,
         ("{bad}: not a complete safetensors file", "copy or download it again")),
    Case("truncated pth", truncated("state_dict_pth"), "extract-weights {bad} -o {out}", 3,
         ("{bad}: not a complete PyTorch file", "copy or download it again")),
    Case("pickled code", arbitrary_pickle, "extract-weights {bad} -o {out}", 3,
         ("{bad}: it pickles objects besides weights (types.SimpleNamespace)",
          "torch.save(model.state_dict(), FILE)")),
    Case("NaN in the weights", nan_in_state_dict,
         "extract-weights {bad} --classes {class_list} -o {out}", 3,
         ("{bad}:fc.weight: row 3 (class '/m/03', Dog)", "not finite; 1 of 7 rows",
          "Repair the source")),
    Case("repeated class id", replaced("class_list", 8, "/m/04", "/m/05"),
         EXTRACT + " --classes {bad}", 3,
         ("{bad}:8: class id '/m/05' is repeated, first in line 2", "an id of its own")),
    Case("class list without names", replaced("class_list", 1, "DisplayName", "Label"),
         EXTRACT + " --classes {bad}", 3,
         ("{bad}:1: the column DisplayName is missing", "Expected one id per line")),
    Case("one class too few", edited("class_list", lambda lines: lines[:-1]),
         EXTRACT + " --classes {bad}", 4,
         ("{bad}: 6 classes are listed, but layer 'fc' has 7", "the class list that the")),
    Case("unknown torchvision network", nothing, "extract-weights torchvision:resnet5 -o {out}", 2,
         ("resnet5", "Did you mean 'resnet50'?")),
    # A checkpoint, and rows for it
    Case("not an artifact", lambda folder, good: good.state_dict, "export-head {bad} -o {out}", 3,
         ("{bad}: not an artifact of wtn", "wtn extract-weights")),
    Case("another artifact", lambda folder, good: good.head, "export-head {bad} -o {out}", 3,
         ("{bad}: expected a wtn.detector-checkpoint file, found wtn.detection-head",
          "wtn train")),
    Case("truncated checkpoint", truncated("checkpoint"), "export-head {bad} -o {out}", 3,
         ("{bad}: not a complete safetensors file", "truncated")),
    Case("rows of another width", narrow_classifier, EXPORT + " --classifier {bad}", 4,
         ("{bad}: its rows are 100 wide, those of training 256", "same classifier")),
    Case("rows on other features", other_classifier, EXPORT + " --classifier {bad}", 4,
         ("{bad}: its rows act on other features", "--feature-space-of")),
    Case("unknown class", text("few.txt", "/m/01\n/m/0255\n"), EXPORT + " --classes {bad}", 4,
         ("{bad}: unknown class '/m/0255' (1 of 2", "Did you mean '/m/025'?")),
    Case("unknown group", nothing, EXPORT + " --classes nvel", 2,
         ("'nvel' is neither a group of classes nor a file", "Did you mean 'novel'?")),
    Case("head of another checkpoint", head_of_another_checkpoint,
         "predict {images} --checkpoint {checkpoint} --head {bad} --save {out}", 4,
         ("{checkpoint}: the head was exported from another checkpoint", "wtn export-head")),
    # Annotations and images to evaluate
    Case("boxes without a column", replaced("boxes", 1, "XMax", "Xmax"),
         EVALUATE + " --images {images} --boxes {bad}", 3,
         ("{bad}: column 'XMax' is missing", "Did you mean")),
    Case("not a number", replaced("boxes", 4, "0.05", "left"),
         EVALUATE + " --images {images} --boxes {bad}", 3,
         ("{bad}:4: XMin must be a number, found 'left'", "Correct the value")),
    Case("boxes of header only", edited("boxes", lambda lines: lines[:1]),
         EVALUATE + " --images {images} --boxes {bad}", 3, ("{bad}: the file has no rows",)),
    Case("boxes of strangers",
         text("b.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\nimg0,/m/9,0,1,0,1\n"),
         EVALUATE + " --images {images} --boxes {bad}", 4,
         ("{bad}: none of the 8 classes to evaluate has a box", "joined by id")),
    Case("folder without images", empty_folder, EVALUATE + " --images {bad} --boxes {boxes}", 3,
         ("{bad}: no images found", ".jpg")),
    Case("an image too few", images_with(None), EVALUATE + " --images {bad} --boxes {boxes}", 3,
         ("{bad}: 1 of 6 annotated images are missing, first 'img3'", "<ImageID>.jpg")),
    Case("image that does not decode", images_with(b"not an image"),
         EVALUATE + " --images {bad} --boxes {boxes}", 3,
         ("{bad}/img3.png: the image does not decode (unknown format)", "Replace or remove")),
    Case("not a hierarchy", text("h.json", '{"LabelName": "/m/0"}'),
         EVALUATE + " --images {images} --boxes {boxes} --hierarchy {bad}", 3,
         ("{bad}: not a class hierarchy", "Subcategory")),
    Case("unverified image labels", replaced("image_labels", 3, ",1", ",0.7"),
         EVALUATE + " --images {images} --boxes {boxes} --image-labels {bad}", 3,
         ("{bad}:3: Confidence must be 0 or 1, found 0.7", "human-verified")),
    Case("unknown metric", nothing, SCORE + " --predictions p.csv --boxes {boxes} --metric voc", 2,
         ("'voc' is not one of", "aewtn-release")),
    Case("nothing to evaluate", nothing, SCORE + " --boxes {boxes} --batch-size 2", 2,
         ("--checkpoint, --images missing", "or --predictions")),
    Case("no images to evaluate", nothing, SCORE + " --boxes {boxes} --checkpoint {checkpoint}", 2,
         ("--images missing", "an index that knows them")),
    Case("groups without a head",
         text("p.csv", "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"),
         SCORE + " --predictions {bad} --boxes {boxes} --classes novel", 2, ("'novel'", "--head")),
    Case("predictions without scores", text("p.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\n"),
         SCORE + " --predictions {bad} --boxes {boxes}", 3, ("{bad}: column 'Score' is missing",)),
    Case("pixels without image sizes",
         text("p.csv", "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\n"),
         SCORE + " --predictions {bad} --boxes {boxes} --metric aewtn-release", 2,
         ("needs the images' sizes", "--image-sizes 1024x768")),
    Case("missing picture", nothing,
         "predict {bad} --checkpoint {checkpoint} --head {head} --save {out}", 3,
         ("{bad}: no such image",)),
    # A training
    Case("box without area", replaced("boxes", 4, "0.05,0.4", "0.4,0.4"), TRAIN + " --boxes {bad}",
         3, ("{bad}:4: a box has no area (XMin 0.4, ", "1 of 12", "--policy clip")),
    Case("box outside the image", replaced("boxes", 4, "0.4", "1.4"), TRAIN + " --boxes {bad}",
         3, ("{bad}:4: a box leaves the image", "1 of 12", "--policy drop")),
    Case("box of an unlisted class", text("d.txt", "/m/01\n/m/02\n/m/03\n/m/05\n"),
         TRAIN + " --classes {bad}", 4,
         ("{boxes}:4: class '/m/025' is not among the 4 classes",)),
    Case("training boxes of header only", edited("boxes", lambda lines: lines[:1]),
         TRAIN + " --boxes {bad}", 3, ("{bad}: the file has no rows",)),
    Case("training images missing", images_with(None), TRAIN + " --images {bad}", 3,
         ("{bad}: 1 of 6 images with boxes are missing, first 'img3'", "{boxes}")),
    Case("no training images", empty_folder, TRAIN + " --images {bad}", 3,
         ("{bad}: no images found",)),
    Case("training image that does not decode", images_with(b"\xff\xd8\xff\xe0 cut"),
         TRAIN + " --images {bad}" + IN_ITS_FIRST_STEP, 3,
         ("{bad}/img3.png: the image does not decode",)),
    Case("the same in a worker process", images_with(b""),
         TRAIN + " --images {bad} --set data.workers=1" + IN_ITS_FIRST_STEP, 3,
         ("Error: {bad}/img3.png: the image does not decode", "Replace or remove")),
    Case("no class in common",
         text("b.csv", "ImageID,LabelName,XMin,XMax,YMin,YMax\nimg0,Bus,0,1,0,1\n"),
         TRAIN + " --boxes {bad}", 4, ("none of the 1 classes with boxes is among", "by id")),
    Case("classifier that is not finite", infinity_in_artifact, TRAIN + " --classifier {bad}", 3,
         ("{bad}: weight holds a number that is not finite, first in row 2", "Repair")),
    Case("backbone of another network", nothing, TRAIN + " --backbone resnet18", 4,
         ("{state_dict} are not of a torchvision resnet18", "backbone.name")),
    Case("unknown setting", nothing, TRAIN + " --set detector.roi_widht=3", 2,
         ("unknown setting 'detector.roi_widht'", "Did you mean 'roi_width'?")),
    Case("unknown setting in a file", text("s.toml", SETTINGS + "[detector]\nmin_sise = 3\n"),
         "train --config {bad} -o {out}", 2,
         ("{bad}: unknown setting 'detector.min_sise'", "Did you mean 'min_size'?")),
    Case("settings that are not TOML", text("s.toml", "[detector\n"),
         "train --config {bad} -o {out}", 2, ("{bad}: cannot be parsed", "line 1")),
    Case("setting out of range", nothing, TRAIN + " --iterations 0", 2,
         ("schedule.iterations", "greater than 0")),
    Case("unknown device", nothing, TRAIN + " --device gpu", 2, ("'gpu'", "cpu")),
    # An output that cannot be written
    Case("output below a file", text("file", ""), "export-head {checkpoint} -o {bad}/head", 2,
         ("Error: {bad}: a file, not a folder", "Name another place")),
    Case("hierarchy of other classes",
         text("tree.json", '{"LabelName": "root", "Subcategory": [{"LabelName": "zebra"}]}'),
         "train --config {settings} --hierarchy {bad} -o {out}", 4,
         ("{bad}: the hierarchy knows none of the 5 classes",)),
    Case("predictions for other images",
         text("p.csv", "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\nnobody,/m/01,0.5,0,1,0,1\n"),
         "evaluate --predictions {bad} --boxes {boxes}", 4,
         ("{bad}: none of its images has boxes: 'nobody'", "file name without its suffix")),
    Case("boxes in pixels", replaced("boxes", 4, "0.4", "40"),
         "evaluate --checkpoint {checkpoint} --head {head} --images {images} --boxes {bad}", 3,
         ("{bad}:4: the box", "not pixels")),
    Case("output that is the input", copied("checkpoint"), "export-head {bad} -o {bad}", 2,
         ("{bad}: the output would replace an input",)),
    Case("rows that would replace their network", copied("state_dict"),
         "extract-weights {bad} -o {bad}", 2, ("{bad}: the output would replace an input",)),
    Case("sizes of images for a detector", text("unused", ""),
         "evaluate --checkpoint {checkpoint} --head {head} --images {images} --boxes {boxes} "
         "--image-sizes 64x64", 2, ("--image-sizes is for --predictions",)),
    Case("output that is a folder", empty_folder, "export-head {checkpoint} -o {bad}", 2,
         ("Error: {bad}: the output is a folder", "Name a file")),
    Case("run folder below a file", text("file", ""), "train --config {settings} -o {bad}/run", 2,
         ("Error: {bad}: a file, not a folder", "Name another place")),
    Case("run folder that is a file", text("file", ""), "train --config {settings} -o {bad}", 2,
         ("Error: {bad}: a file, not a folder", "Name another place")),
]  # fmt: skip


@pytest.fixture
def good(
    world: SimpleNamespace, artifacts: SimpleNamespace, settings_toml: Path
) -> SimpleNamespace:
    """Return all good files, by the names that the commands use."""
    return SimpleNamespace(**vars(world), **vars(artifacts), settings=settings_toml)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_is_refused(case: Case, good: SimpleNamespace, tmp_path: Path, wtn: Wtn) -> None:
    """The exit code tells the kind; stderr says what, where and how to mend; nothing is left."""
    out = tmp_path / "out"
    names = {**vars(good), "bad": case.spoil(tmp_path, good), "out": out}

    ended = wtn(*(word.format(**names) for word in case.command.split()))

    assert ended.returncode == case.code, ended.stderr
    assert ended.stdout == ""
    for said in case.says:
        assert said.format(**names) in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "defect" not in ended.stderr
    left = sorted(file.name for file in out.iterdir()) if out.is_dir() else []
    assert left == []
    assert out.is_dir() or not out.exists()
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize(("policy", "boxes"), [("clip", 12), ("drop", 11)])
def test_box_policy_trains_on_what_it_mends(
    wtn: Wtn, good: SimpleNamespace, tmp_path: Path, policy: str, boxes: int
) -> None:
    """A box that leaves the image is cut or dropped on request, and training goes on."""
    bad = replaced("boxes", 4, "0.4", "1.4")(tmp_path, good)

    ended = wtn("train", "--config", good.settings, "--boxes", bad, "--policy", policy,
                "-o", tmp_path / "run", "--json")  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["boxes"] == boxes
