"""Tests for pipelines.runs."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import DatasetError
from pipelines.runs import compare_runs, list_runs, show_run


@pytest.fixture
def runs(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a folder of two runs, one of them in a folder of its own, and of something else."""
    for name in ("first", "study/seed-0/second"):
        shutil.copytree(artifacts.run, tmp_path / name)
    (tmp_path / "photos").mkdir()
    return tmp_path


def _edit(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text().replace(old, new))


def _set_time(run: Path, seconds: float) -> None:
    for path in run.iterdir():
        os.utime(path, (seconds, seconds))


def test_runs_are_found_at_any_depth_the_newest_first(runs: Path) -> None:
    """By their names below the folder; what is no run is none of them."""
    _set_time(runs / "first", 1000.0)

    found = list_runs(runs)

    assert [run.name for run in found] == ["study/seed-0/second", "first"]
    assert {(run.method, run.iteration, run.iterations, run.state) for run in found} == {
        ("ae-wtn", 3, 3, "finished")
    }
    assert found[0].loss == show_run(runs / "first").losses["loss"]
    assert found[0].images_per_second is not None


def test_a_run_that_is_given_is_the_one_that_is_listed(runs: Path) -> None:
    """By the name of its folder."""
    assert [run.name for run in list_runs(runs / "first")] == ["first"]


def test_a_damaged_run_is_listed_with_its_fault(runs: Path) -> None:
    """After the others, which are as before."""
    (runs / "first" / "settings.toml").write_text("colour = 1\n")

    whole, damaged = list_runs(runs)

    assert whole.fault is None
    assert (damaged.name, damaged.state, damaged.iteration) == ("first", "damaged", None)
    assert "unknown setting 'colour'" in str(damaged.fault)


@pytest.mark.parametrize(("place", "what"), [("photos", "no run in it"), ("x", "no such folder")])
def test_no_run_is_an_error(runs: Path, place: str, what: str) -> None:
    """A folder without any, and one that is not there."""
    with pytest.raises(DatasetError, match=what):
        list_runs(runs / place)


def test_a_run_in_full(runs: Path) -> None:
    """Its settings besides the defaults, its checkpoints, and nothing to go on with."""
    details = show_run(runs / "first")

    assert details.settings["schedule.batch_size"] == 2
    assert {found.fault for found in details.checkpoints} == {None}
    assert (details.resume, details.environment, details.plots) == (None, None, ())
    assert details.memory_bytes is not None


def test_an_unfinished_run_goes_on_by_a_command(runs: Path) -> None:
    """As a shell takes it."""
    _edit(runs / "first" / "settings.toml", "iterations = 3", "iterations = 5")

    assert show_run(runs / "first").resume == f"wtn train --resume {runs / 'first'}"


def test_pictures_are_drawn_again(runs: Path) -> None:
    """Into the folder of the run."""
    details = show_run(runs / "first", plots=True)

    assert [path.name for path in details.plots] == ["losses.png", "learning-rates.png"]
    assert all(path.exists() for path in details.plots)


def test_runs_differ_in_what_was_changed(runs: Path) -> None:
    """Settings that are the same are left out; a loss that one of them lacks is None."""
    first, second = runs / "first", runs / "study" / "seed-0" / "second"
    _edit(second / "settings.toml", "seed = 0", "seed = 7")
    _edit(second / "metrics.jsonl", "loss_reconstruction", "loss_other")

    found = compare_runs([first, second])

    assert found.settings == {"seed": (0, 7)}
    assert [run.folder for run in found.runs] == [first, second]
    assert found.losses["loss_reconstruction"][0] == found.losses["loss_other"][1]
    assert found.losses["loss_reconstruction"][1] is None
    assert found.metrics == {}


def test_the_best_figures_stand_side_by_side(runs: Path) -> None:
    """Each run's own best, whenever that was."""
    first, second = runs / "first", runs / "study" / "seed-0" / "second"
    for run, values in ((first, (0.5, 0.25)), (second, (0.125, 0.375))):
        with (run / "metrics.jsonl").open("a") as file:
            for value in values:
                file.write(f'{{"iteration": 3, "evaluation": {{"novel_AP50": {value}}}}}\n')

    assert compare_runs([first, second]).metrics == {"novel_AP50": (0.5, 0.375)}
