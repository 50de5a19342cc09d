"""Tests for pipelines.study.open_images."""

import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.config import ScheduleSettings, TrainSettings, validate_settings
from pipelines.data.annotation_sources import OpenImagesSource as Annotations
from pipelines.data.class_files import read_vocabulary
from pipelines.data.dataset import PrepareOptions
from pipelines.data.split_plans import SplitPlan
from pipelines.prepare import prepare_splits
from pipelines.study.open_images import MADE_BY, OpenImagesSource
from pipelines.study.worlds import NOVEL_AP50, NOVEL_AR50, SEEN_AP50


def nothing(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def test_settings_are_the_defaults_of_training(tmp_path: Path) -> None:
    """The paper's 180,000 iterations, ResNet-50 at 800 pixels and R = 2048, all unchanged."""
    settings = validate_settings(OpenImagesSource(tmp_path).world(tmp_path).settings)

    defaults = TrainSettings(classifier=settings.classifier, data=settings.data)
    assert settings.backbone.weights == "torchvision:resnet50@IMAGENET1K_V1"
    assert settings.model_copy(update={"backbone": defaults.backbone}) == defaults


def test_a_shorter_schedule_keeps_its_proportions(tmp_path: Path) -> None:
    """Rates drop after two thirds and eight ninths, and warm-up is a tenth at most."""
    settings = OpenImagesSource(tmp_path, iterations=900).world(tmp_path).settings

    schedule = ScheduleSettings(**settings["schedule"])
    assert (schedule.iterations, schedule.warmup_iterations) == (900, 90)
    assert schedule.steps == (600, 800)


def test_own_files_of_the_user_are_used(tmp_path: Path) -> None:
    """A backbone and similarities in the folder are taken, and then serve rows."""
    without = OpenImagesSource(tmp_path).lacks
    (tmp_path / "resnet50.pth").touch()
    (tmp_path / "similarity.safetensors").touch()

    source = OpenImagesSource(tmp_path, words=tmp_path / "words.safetensors")

    assert set(without) == {"words", "similarity"}
    assert "which wtn similarity cannot make" in without["similarity"]
    assert source.lacks == {}
    world = source.world(tmp_path / "world")
    assert world.settings["backbone"]["weights"] == str(tmp_path / "resnet50.pth")
    assert (world.words, world.similarity) == (
        tmp_path / "words.safetensors", tmp_path / "similarity.safetensors",
    )  # fmt: skip
    assert source.missing()[-1].startswith(str(tmp_path / "words.safetensors"))


def test_each_metric_is_of_its_own_images_and_classes(
    world: SimpleNamespace, tmp_path: Path
) -> None:
    """Novel metrics score the classes of their index alone, seen AP50 all that have boxes.

    The paper's evaluator judges them all.
    """
    data, folder = tmp_path / "data", tmp_path / "world"
    index = data / "oi-57.safetensors"
    source = Annotations(world.class_list, (world.boxes,))
    options = PrepareOptions("keep", drop_unknown_classes=True)
    prepare_splits(source, [SplitPlan(index)], options)
    for name in MADE_BY:
        if name != index.name:
            (data / name).parent.mkdir(exist_ok=True)
            (data / name).write_bytes(index.read_bytes())

    made = OpenImagesSource(data).prepare(folder, 0, "cpu", nothing)

    assert made.evaluations[SEEN_AP50].classes == "detection"
    assert {at.metric for at in made.evaluations.values()} == {"aewtn-release"}
    for metric, name in ((NOVEL_AP50, "oi-57"), (NOVEL_AR50, "vg-200")):
        assert made.evaluations[metric].truth.boxes == data / f"{name}.safetensors"
        listed = read_vocabulary(Path(made.evaluations[metric].classes))
        assert listed == read_vocabulary(world.class_list)


@pytest.mark.parametrize("number", range(len(MADE_BY)))
def test_commands_for_missing_files_can_be_run(
    number: int, wtn: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """No option is wrong or lacks: what stops them here is that the first file is not there."""
    source = OpenImagesSource(tmp_path / "my data")
    file, command = source.missing()[number].split(": ", 1)

    name, *arguments = shlex.split(command)
    ended = wtn(*arguments)

    assert (name, ended.returncode) == ("wtn", 3)
    assert arguments[-1] in (file, str(Path(file).parent))
    assert Path(ended.stderr.removeprefix("Error: ").split(":")[0]).name in command
    assert not source.data.exists()
