"""Tests for pipelines.training.resuming, on the three iterations that all tests share."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipelines.config import validate_settings
from pipelines.errors import ArtifactError, ConfigError, MismatchError
from pipelines.training.checkpoints import Pair, Saved, newest_whole
from pipelines.training.resuming import find_start, is_finished, refuse_later

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
        (lambda run: run / "nothing", ArtifactError, "no such folder or state"),
        (lambda run: run.parent, ArtifactError, "no whole training state to go on from"),
        (lambda run: run / "checkpoint.safetensors", ArtifactError, "no training state, which"),
        (lambda run: _copy(run, "nonfinite-00000004", 3), ConfigError, "not one that a run goes"),
    ],
)
def test_what_a_run_cannot_go_on_from_is_refused(
    make: Callable[[Path], Path], error: type[Exception], told: str, run: Path
) -> None:
    """No state, and one kept for replay without a folder for it."""
    with pytest.raises(error, match=told):
        find_start(str(make(run)), None)


@pytest.mark.parametrize("resume", ["auto", None])
def test_damaged_states_are_named_in_few_words(resume: str | None, run: Path) -> None:
    """Each by its place in the run and what is wrong, without what a library says of it."""
    _copy(run, "checkpoints", 2).write_bytes(b"")
    (run / "checkpoints" / "iteration-00000003.state.safetensors").write_bytes(b"not a header")

    with pytest.raises(ArtifactError) as raised:
        find_start(resume or str(run), run)

    assert raised.value.place_and_cause == (
        f"{run}: no whole training state to go on from; "
        "checkpoints/iteration-00000003.state.safetensors: not a complete safetensors file; "
        "checkpoints/iteration-00000002.state.safetensors: not a complete safetensors file"
    )


def test_a_detector_names_the_state_that_it_belongs_to(run: Path) -> None:
    """The newest checkpoint is one of a pair, by another name."""
    with pytest.raises(ArtifactError) as error:
        find_start(str(run / "checkpoint.safetensors"), None)

    state = run / "checkpoints" / "iteration-00000003.state.safetensors"
    assert error.value.mend == f"Its state is {state}: --resume that."


def test_a_run_that_failed_before_its_first_checkpoint_names_what_it_kept(run: Path) -> None:
    """The state from before the step whose loss was not finite."""
    _copy(run, "nonfinite-00000004", 3)
    shutil.rmtree(run / "checkpoints")

    with pytest.raises(ArtifactError, match="no whole training state") as error:
        find_start(str(run), None)

    assert f"there is {run / 'nonfinite-00000004'}. Name a run folder" in str(error.value.mend)


def test_a_state_that_the_run_has_passed_is_refused(run: Path) -> None:
    """What came after it would be lost; unless that is damaged."""
    state = _copy(run, "checkpoints", 2)

    with pytest.raises(ConfigError, match="has come further, to iteration 3"):
        refuse_later(Pair(run / "checkpoints", 2))

    (run / "checkpoints" / "iteration-00000003.safetensors").write_bytes(b"")
    refuse_later(Pair(run / "checkpoints", 2))
    assert state.exists()


def test_auto_takes_settings_only_of_a_run_that_it_goes_on_with(run: Path) -> None:
    """A run that was killed before its first pair begins anew, with what is given now."""
    shutil.rmtree(run / "checkpoints")

    assert find_start("auto", run)[:3] == (run, None, None)


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


def test_a_run_is_finished_unless_it_is_made_longer(saved: Saved, settings_tree: Tree) -> None:
    """Three of three iterations are all; three of four are not."""
    assert is_finished(saved, validate_settings(settings_tree))
    settings_tree["schedule"]["iterations"] = 4
    assert not is_finished(saved, validate_settings(settings_tree))


def test_a_finished_run_was_not_trained_on_other_boxes(
    saved: Saved, settings_tree: Tree, tmp_path: Path
) -> None:
    """They would seem to be; a copy of the same is no other, and what is gone is not compared."""
    boxes = Path(settings_tree["data"]["boxes"])
    settings_tree["data"]["boxes"] = str(Path(shutil.copy(boxes, tmp_path / "other.csv")))
    assert is_finished(saved, validate_settings(settings_tree))

    with (tmp_path / "other.csv").open("a") as file:
        file.write("\n")
    with pytest.raises(MismatchError, match="another file for boxes"):
        is_finished(saved, validate_settings(settings_tree))

    (tmp_path / "other.csv").unlink()
    assert is_finished(saved, validate_settings(settings_tree))


def test_a_run_is_not_finished_before_its_last_evaluation(
    saved: Saved, settings_tree: Tree
) -> None:
    """Unless nothing is evaluated any more."""
    saved.state.progress.evaluation_is_open = True
    assert is_finished(saved, validate_settings(settings_tree))
    settings_tree["evaluation"] = {"every": 1, "boxes": "boxes.csv"}
    assert not is_finished(saved, validate_settings(settings_tree))
