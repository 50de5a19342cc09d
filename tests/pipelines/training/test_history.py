"""Tests for pipelines.training.history."""

import json
import math
from dataclasses import asdict
from pathlib import Path

import pytest

from pipelines.errors import DatasetError
from pipelines.training.history import Evaluation, History, read_history
from pipelines.training.records import StepRecord, Timing

RECORDS = [StepRecord(i, 30, {"loss": 10.0 / i}, {"lr": 0.1}) for i in (10, 20)]
TIMINGS = [Timing(10, 60.0, 5.0, 0.5, 100, 9.0), Timing(20, 20.0, 15.0, 0.1, 200, 4.0)]
EVALUATION = {"iteration": 20, "evaluation": {"novel_AP50": 0.25}}


def _write(folder: Path, name: str, *lines: object) -> None:
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_history_is_what_was_written(tmp_path: Path) -> None:
    """Records, evaluations and timings, each in their order."""
    _write(tmp_path, "metrics.jsonl", *map(asdict, RECORDS), EVALUATION)
    _write(tmp_path, "timings.jsonl", *map(asdict, TIMINGS))

    history = read_history(tmp_path)

    assert history.records == tuple(RECORDS)
    assert history.evaluations == (Evaluation(20, {"novel_AP50": 0.25}),)
    assert history.timings == tuple(TIMINGS)
    assert (history.seconds, history.images_per_second) == (80.0, 10.0)


def test_runs_of_earlier_versions_have_a_history(tmp_path: Path) -> None:
    """Fields that records no longer have are left out, and there are no timings."""
    line = {"iteration": 1, "iterations": 2, "losses": {"loss": 1.0}, "learning_rates": {}}
    _write(tmp_path, "metrics.jsonl", line | {"images_per_second": 3.0, "seconds_left": 4.0})

    history = read_history(tmp_path)

    assert history.records == (StepRecord(1, 2, {"loss": 1.0}, {}),)
    assert history.images_per_second is None


def test_a_line_that_a_kill_cut_short_does_not_count(tmp_path: Path) -> None:
    """What is before it does."""
    _write(tmp_path, "metrics.jsonl", asdict(RECORDS[0]))
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"iteration": 20, "iter')

    assert read_history(tmp_path).records == (RECORDS[0],)


def test_a_line_of_something_else_is_named(tmp_path: Path) -> None:
    """With its file and row."""
    _write(tmp_path, "metrics.jsonl", asdict(RECORDS[0]), {"iteration": 2})

    with pytest.raises(DatasetError, match=r"metrics\.jsonl:2: bad value for iterations: "):
        read_history(tmp_path)


def test_the_best_evaluation_is_the_first_of_the_highest() -> None:
    """Those that lack the figure do not count; without any there is none."""
    figures = [(10, {"a": 0.5}), (20, {"a": 0.75}), (30, {"b": 1.0}), (40, {"a": 0.75})]
    history = History((), tuple(Evaluation(i, found) for i, found in figures), ())

    assert history.best("a") == Evaluation(20, {"a": 0.75})
    assert history.best("c") is None
    assert history.metrics == ["a", "b"]


def test_the_losses_are_the_newest_there_are() -> None:
    """A window of which every step was left out has none."""
    history = History((*RECORDS, StepRecord(30, 30, {}, {})), (), ())

    assert history.losses == {"loss": 0.5}


def test_a_figure_that_is_undefined_is_not_a_number(tmp_path: Path) -> None:
    """It is null in the file, never the best, and no figure where no evaluation has a number."""
    figures = {"a": None, "b": None}
    _write(
        tmp_path,
        "metrics.jsonl",
        {"iteration": 10, "evaluation": figures},
        {"iteration": 20, "evaluation": figures | {"a": 0.25}},
        {"iteration": 30, "evaluation": figures},
    )

    history = read_history(tmp_path)

    assert math.isnan(history.evaluations[0].metrics["a"])
    assert history.metrics == ["a"]
    assert history.best("a") == history.evaluations[1]
    assert history.best("b") is None
