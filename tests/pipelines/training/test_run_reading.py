"""Tests for pipelines.training.run_reading: what a folder tells about its run."""

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.errors import DatasetError
from pipelines.training.run_lock import RunLock
from pipelines.training.run_reading import is_run, read_run


@pytest.fixture
def run(artifacts: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a copy of a finished run of three iterations, written an hour ago."""
    folder = tmp_path / "run"
    shutil.copytree(artifacts.run, folder)
    (folder / ".lock").unlink()  # as in earlier versions
    _set_age(folder, 3600)
    return folder


def _set_age(folder: Path, seconds: float) -> None:
    then = time.time() - seconds
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


def _make_unfinished(folder: Path) -> None:
    """Let a run of three iterations be one of five."""
    text = (folder / "settings.toml").read_text()
    (folder / "settings.toml").write_text(text.replace("iterations = 3", "iterations = 5"))


def test_a_finished_run_tells_all(run: Path) -> None:
    """Its settings, its history, its checkpoint's header and its state."""
    found = read_run(run)

    assert (found.state, found.iteration) == ("finished", 3)
    assert found.settings.head.method == "ae-wtn"
    assert [record.iteration for record in found.history.records] == [1, 2, 3]
    assert found.header is not None
    assert found.header["iteration"] == 3


@pytest.mark.parametrize(("age", "state"), [(10, "running?"), (3600, "stopped")])
def test_a_run_that_was_written_lately_may_be_running(run: Path, age: float, state: str) -> None:
    """It has not taken all its iterations; a folder cannot tell for sure."""
    _make_unfinished(run)
    _set_age(run, age)

    assert read_run(run).state == state


def test_a_run_with_a_lock_is_running_as_long_as_that_is_held(run: Path) -> None:
    """Whenever it was written."""
    _make_unfinished(run)
    with ThreadPoolExecutor(1) as other, RunLock(run):
        assert other.submit(read_run, run).result().state == "running"

    _set_age(run, 10)
    assert read_run(run).state == "stopped"


def test_a_run_is_quiet_for_as_long_as_its_records_take(run: Path) -> None:
    """An hour without a word is nothing where a record takes half an hour."""
    _make_unfinished(run)
    timings = run / "timings.jsonl"
    timings.write_text(timings.read_text().replace('"seconds": ', '"seconds": 1800'))
    _set_age(run, 3600)

    assert read_run(run).state == "running?"


def test_a_step_that_was_not_finite_is_told_until_the_run_goes_on(run: Path) -> None:
    """Its batch is the newest file; once there are newer records, it is history."""
    _make_unfinished(run)
    _set_age(run, 3600)
    kept = run / "nonfinite-00000004"
    kept.mkdir()
    (kept / "batch.json").write_text("{}")
    assert read_run(run).state == "nonfinite"

    later = time.time() + 1
    os.utime(run / "metrics.jsonl", (later, later))
    assert read_run(run).state == "running?"


def test_a_checkpoint_that_is_cut_short_is_not_there(run: Path) -> None:
    """The run is known by its records."""
    checkpoint = run / "checkpoint.safetensors"
    content = checkpoint.read_bytes()
    checkpoint.unlink()  # it may be a link to another file of the run
    checkpoint.write_bytes(content[: len(content) // 2])

    found = read_run(run)

    assert (found.header, found.iteration) == (None, 3)


def test_the_best_is_by_the_figure_that_is_kept_or_that_of_novel_classes(run: Path) -> None:
    """Of others the first that was evaluated; without evaluations there is none."""
    assert (read_run(run).metric, read_run(run).best) == (None, None)

    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "evaluation": {"seen_AP50": 0.5}}\n')
    assert read_run(run).metric == "seen_AP50"

    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 3, "evaluation": {"seen_AP50": 0.5, "novel_AP50": 0.25}}\n')
    found = read_run(run)
    assert found.best is not None
    assert (found.metric, found.best.metrics["novel_AP50"]) == ("novel_AP50", 0.25)


def test_changed_settings_are_those_that_are_not_the_defaults(run: Path) -> None:
    """Each with its default; what must be given has none, and is left out."""
    changed = read_run(run).changed_settings

    assert changed["schedule.iterations"] == (3, 180_000)
    assert changed["backbone.name"] == ("tiny", "resnet50")
    assert "classifier" not in changed
    assert "optimizer.learning_rate" not in changed


def test_other_folders_are_refused(run: Path, tmp_path: Path) -> None:
    """A folder of something else, none at all, and one with settings of another program."""
    assert not is_run(tmp_path)
    with pytest.raises(DatasetError, match="not a run folder: it has no settings"):
        read_run(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        read_run(tmp_path / "none")

    (run / "settings.toml").write_text("colour = 1\n")
    with pytest.raises(DatasetError, match="unknown setting 'colour'"):
        read_run(run)
