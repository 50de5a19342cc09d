"""Tests for pipelines.training.resuming, on the three iterations that all tests share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.config import validate_settings
from pipelines.errors import ArtifactError, ConfigError, MismatchError
from pipelines.training.checkpoints import Saved, newest_whole
from pipelines.training.resuming import (
    find_start,
    is_finished,
    judges_otherwise,
    refuse_other_inputs,
    refuse_other_settings,
)

Tree = dict[str, Any]


@pytest.fixture
def run(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of the run."""
    return Path(shutil.copytree(artifacts.run, tmp_path / "run"))


@pytest.fixture
def saved(run: Path) -> Saved:
    """Return what the run goes on from."""
    found, _ = newest_whole(run / "checkpoints")
    assert found is not None
    return found


def test_without_resume_a_run_begins(run: Path) -> None:
    """Also where there is one; the folder is called run unless it is named."""
    assert find_start(None, run)[:3] == (run, None, None)
    assert find_start(None, None).folder == Path("run")


def test_auto_goes_on_or_begins(run: Path, tmp_path: Path) -> None:
    """Where there is nothing, a run begins, so that one command serves a scheduler."""
    found, new = find_start("auto", run), find_start("auto", tmp_path / "new")

    assert found.saved is not None
    assert (found.folder, found.settings) == (run, run / "settings.toml")
    assert found.saved.iteration == 3
    assert new[:3] == (tmp_path / "new", None, None)


@pytest.mark.parametrize(
    "name",
    ["", "checkpoints", "checkpoints/iteration-00000003.safetensors",
     "checkpoints/iteration-00000003.state.safetensors"],
)  # fmt: skip
def test_a_path_names_a_run_or_a_state(name: str, run: Path, tmp_path: Path) -> None:
    """It goes on in its own folder, or in one that is named."""
    found, elsewhere = find_start(str(run / name), None), find_start(str(run / name), tmp_path)

    assert found.saved is not None
    assert (found.folder.resolve(), found.settings) == (run, run / "settings.toml")
    assert (elsewhere.folder, elsewhere.saved is None) == (tmp_path, False)


@pytest.mark.parametrize(
    ("make", "error", "told"),
    [
        (lambda run: run / "nothing", ArtifactError, "no whole training state to go on from"),
        (lambda run: run / "checkpoint.safetensors", ArtifactError, "no whole training state"),
        (lambda run: _copy(run, "nonfinite-00000004", 3), ConfigError, "not one that a run goes"),
        (lambda run: _copy(run, "checkpoints", 2), ConfigError, "has come further, to iteration 3"),
    ],
)
def test_what_a_run_cannot_go_on_from_is_refused(
    make: Callable[[Path], Path], error: type[Exception], told: str, run: Path
) -> None:
    """No state, one kept for replay without a folder for it, and one that the run has passed."""
    with pytest.raises(error, match=told):
        find_start(str(make(run)), None)


def _copy(run: Path, folder: str, iteration: int) -> Path:
    """Copy the pair of the run to another folder or name, and return its state."""
    (run / folder).mkdir(exist_ok=True)
    for end in (".safetensors", ".state.safetensors"):
        path = run / folder / f"iteration-{iteration:08d}{end}"
        shutil.copy(run / "checkpoints" / f"iteration-00000003{end}", path)
    return path


def test_auto_does_not_begin_anew_where_all_is_damaged(run: Path) -> None:
    """The run would be lost; the message names what is wrong with it."""
    (run / "checkpoints" / "iteration-00000003.safetensors").unlink()

    with pytest.raises(ArtifactError, match=r"to go on from; .*00003\.safetensors: no such file"):
        find_start("auto", run)


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(device="cuda", classifier="elsewhere", limits={"max_hours": 1}),
        lambda tree: tree["data"].update(images=["a", "b"], workers=7, bad_images="skip"),
        lambda tree: tree.update(engine={"precision": "bfloat16"}, checkpoints={"keep_last": 5}),
        lambda tree: tree["schedule"].update(log_every=7, checkpoint_every=7),
        lambda tree: tree["schedule"].update(iterations=9, steps=[3, 5]),
        lambda tree: tree.update(evaluation={"every": 2, "boxes": "val.csv"}),
    ],
)
def test_what_is_not_learned_may_change(
    saved: Saved, settings_tree: Tree, change: Callable[[Tree], object]
) -> None:
    """Places, machine, speed, what is told and kept, and what lies ahead of the schedule."""
    change(settings_tree)

    refuse_other_settings(saved, validate_settings(settings_tree))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda tree: tree.update(seed=1), "seed is 0 there, 1 now"),
        (lambda tree: tree["schedule"].update(batch_size=4), "schedule.batch_size is 2 there, 4"),
        (
            lambda tree: tree["schedule"].update(steps=[2, 5]),
            r"schedule.steps is \[\] there, \[2\]",
        ),
        (lambda tree: tree["schedule"].update(iterations=2), "schedule.iterations is 3 there, 2"),
        (lambda tree: tree["data"].update(horizontal_flip=0), "data.horizontal_flip is 0.5 there"),
        (lambda tree: tree["detector"].update(min_size=32), "detector.min_size is 64 there, 32"),
    ],
)
def test_other_settings_are_refused(
    saved: Saved, settings_tree: Tree, change: Callable[[Tree], object], told: str
) -> None:
    """The first differences are named."""
    change(settings_tree)

    with pytest.raises(ConfigError, match=f"the run has other settings: {told}"):
        refuse_other_settings(saved, validate_settings(settings_tree))


@pytest.mark.parametrize(
    ("change", "otherwise"),
    [
        ({"schedule": {"iterations": 9}}, False),
        ({"checkpoints": {"keep_last": 9}}, False),
        ({"evaluation": {"boxes": "val.csv"}}, True),
        ({"checkpoints": {"keep_best": "x"}, "evaluation": {"every": 1, "boxes": "b"}}, True),
    ],
)
def test_the_best_is_forgotten_where_another_figure_judges(
    saved: Saved, settings_tree: Tree, change: Tree, otherwise: bool
) -> None:
    """Figures on other boxes, or of another name, do not compare."""
    for key, value in change.items():
        settings_tree[key] = settings_tree.get(key, {}) | value

    assert judges_otherwise(saved, validate_settings(settings_tree)) == otherwise


def test_a_run_is_finished_unless_it_is_made_longer(saved: Saved, settings_tree: Tree) -> None:
    """Three of three iterations are all; three of four are not."""
    assert is_finished(saved, validate_settings(settings_tree))
    settings_tree["schedule"]["iterations"] = 4
    assert not is_finished(saved, validate_settings(settings_tree))


def test_files_with_other_contents_are_refused(saved: Saved) -> None:
    """Also one that was not there; the role is named. Their places do not count."""
    before = saved.checkpoint.provenance
    parents = [{**parent, "path": "moved"} for parent in before["parents"]]
    refuse_other_inputs(saved, {"parents": parents})
    changed = [p | {"sha256": "0"} if p["role"] == "boxes" else p for p in parents]

    with pytest.raises(MismatchError, match="another file for boxes than"):
        refuse_other_inputs(saved, {"parents": changed})
    with pytest.raises(MismatchError, match="another file for hierarchy"):
        refuse_other_inputs(saved, {"parents": [*parents, {"role": "hierarchy", "sha256": "0"}]})
