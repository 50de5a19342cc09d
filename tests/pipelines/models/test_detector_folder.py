"""Tests for pipelines.models.detector_folder, and what takes a folder for a checkpoint."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipelines.errors import ArtifactError, ConfigError
from pipelines.export_detector import export_detector
from pipelines.models.checkpoints import load_detector
from pipelines.models.detector_folder import read_folder
from pipelines.models.offline import load_head


def test_a_folder_stands_for_checkpoint_and_head(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Its head, or some classes of it, makes the detector that checkpoint and head make."""
    folder = tmp_path / "detector"
    export_detector(artifacts.checkpoint, folder, "directory")
    image = [torch.rand(3, 64, 80, generator=torch.Generator().manual_seed(0))]

    rows = [6, 1]
    (ours,) = load_detector(folder, load_head(folder).subset(rows))(image)
    whole = load_head(artifacts.checkpoint)
    (theirs,) = load_detector(artifacts.checkpoint, whole.subset(rows))(image)

    assert len(ours["scores"]) > 10
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    with pytest.raises(ConfigError, match="has its head in it"):
        load_head(folder, artifacts.head)


def test_missing_folder_says_how_to_make_one(tmp_path: Path) -> None:
    """A folder without a config is not a detector."""
    with pytest.raises(ArtifactError) as error:
        read_folder(tmp_path)

    assert "config.json: no such file\n" in str(error.value)
    assert "wtn export CHECKPOINT --format directory" in str(error.value)


def test_spoilt_files_are_named(artifacts: SimpleNamespace, tmp_path: Path) -> None:
    """Another version, a hand-made change and a lost tensor are told apart."""
    tmp_path /= "detector"
    export_detector(artifacts.checkpoint, tmp_path, "directory")
    config = tmp_path / "config.json"
    good = json.loads(config.read_text())
    for changed, message in (
        ({"format_version": "9"}, "found wtn.detector version 9"),
        ({"settings": {}}, "changed by hand"),
    ):
        config.write_text(json.dumps(good | changed))
        with pytest.raises(ArtifactError, match=message):
            read_folder(tmp_path)
    config.write_text("{")
    with pytest.raises(ArtifactError, match="not JSON"):
        read_folder(tmp_path)
    config.write_text(json.dumps(good))
    (tmp_path / "model.safetensors").write_bytes(b"x")
    with pytest.raises(ArtifactError, match="not a complete safetensors file"):
        read_folder(tmp_path)


def test_files_that_do_not_fit_each_other_are_refused(
    artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """Classes too few, in another order, of no group or without text, each has its message."""
    folder = tmp_path / "detector"
    export_detector(artifacts.checkpoint, folder, "directory")
    path = folder / "classes.json"
    good = json.loads(path.read_text())["classes"]
    for classes, message in (
        (good[:-2], r"class_head.weight has shape \[8, 32\] where \[6, 'any'\]"),
        (good[::-1], "has index 7 and stands in place 0"),
        ([good[0] | {"group": "unseen"}, *good[1:]], "of no group that there is: 'unseen'"),
        ([good[0] | {"id": 5}, *good[1:]], "the id and name of class 0 are not text"),
        ([good[0] | {"name": None}, *good[1:]], "the id and name of class 0 are not text"),
        ([*good[:-1], good[0] | {"index": 7}], "changed by hand"),
    ):
        path.write_text(json.dumps({"classes": classes}))
        with pytest.raises(ArtifactError, match=message):
            read_folder(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [(torch.tensor(1.0), "has shape"), (torch.full((8, 32), torch.nan), "is not finite")],
)
def test_rows_of_another_shape_or_kind_are_refused(
    value: torch.Tensor, message: str, artifacts: SimpleNamespace, tmp_path: Path
) -> None:
    """A single number, and numbers that are none, are no rows."""
    folder = tmp_path / "detector"
    export_detector(artifacts.checkpoint, folder, "directory")
    weights = load_file(folder / "model.safetensors")
    name = "roi_heads.box_predictor.cls_score.weight"
    save_file(weights | {name: value}, folder / "model.safetensors")

    with pytest.raises(ArtifactError, match=message):
        read_folder(folder)
