"""Tests for pipelines.study.records."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipelines.config import ScheduleSettings
from pipelines.study.records import (
    FailedRow,
    RowResult,
    TrainingLog,
    TrainingRecord,
    all_failed,
    read_log,
    read_result,
)
from pipelines.study.worlds import METRICS

SCHEDULE = ScheduleSettings(iterations=180, batch_size=4, warmup_iterations=0, steps=())
COURSE = [(1, 0.5, 9), (100, 99, 9), (170, 140, 9), (176, 3, 1), (180, 4, 2)]


def read(folder: Path, course: Sequence[tuple[int, float, float]]) -> TrainingLog:
    """Write the logs of a training, and read them: iteration, seconds, classification loss."""
    metrics: list[dict[str, Any]] = [
        {"iteration": i, "losses": {"loss_classifier": loss}} for i, _, loss in course
    ]
    metrics.insert(-1, {"iteration": metrics[-1]["iteration"], "evaluation": {"seen_AP50": 0.5}})
    timings = [{"iteration": i, "seconds": seconds} for i, seconds, _ in course]
    for name, records in (("m", metrics), ("t", timings)):
        (folder / name).write_text("".join(json.dumps(record) + "\n" for record in records))
    return read_log(folder / "m", folder / "t", SCHEDULE)


def test_seconds_are_those_of_all_windows(tmp_path: Path) -> None:
    """0.5 + 99 + 140 + 3 + 4 of them."""
    assert read(tmp_path, COURSE).seconds == pytest.approx(246.5)


def test_the_loss_is_that_of_the_last_eighteenth(tmp_path: Path) -> None:
    """Of 180 iterations those after 170: six steps at 1 and four at 2."""
    assert read(tmp_path, COURSE).loss_classifier == pytest.approx(1.4)


@pytest.mark.parametrize("text", [None, "", "{", "{}\n", "\xff", "[]\n"])
def test_a_log_that_is_no_log_tells_nothing(tmp_path: Path, text: str | None) -> None:
    """Lost, empty, cut within a line, without its keys, not UTF-8."""
    path = tmp_path / "metrics.jsonl"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))

    assert all(math.isnan(value) for value in asdict(read_log(path, path, SCHEDULE)).values())


def test_a_log_that_is_cut_tells_nothing(tmp_path: Path) -> None:
    """Its last eighteenth would be that of another training."""
    found = read(tmp_path, COURSE[:-1])

    assert all(math.isnan(value) for value in asdict(found).values())


FIGURES = dict(zip(METRICS, (50.0, 0, math.nan), strict=True))
WHOLE = asdict(RowResult("wtn", 0, FIGURES, 0.5, 60.0, {}, {}))


def test_a_result_may_have_an_undefined_metric(tmp_path: Path) -> None:
    """The release's recall is NaN where no class was detected; that is a figure as any other."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(WHOLE))

    found = read_result(path)

    assert found is not None
    assert list(found.metrics) == list(METRICS)
    assert math.isnan(found.metrics[METRICS[2]])


@pytest.mark.parametrize(
    "broken",
    [
        *(
            {key: None}
            for key in ("metrics", "loss_classifier", "seconds", "conditions", "machine")
        ),
        {"metrics": {}},
        {"metrics": list(METRICS)},
        {"metrics": FIGURES | {METRICS[0]: "50"}},
        {"metrics": FIGURES | {METRICS[0]: None}},
        {"seconds": math.inf},
        {"machine": ["cpu"]},
        {"new": 1},
    ],
)
def test_a_result_whose_values_are_no_figures_is_none(
    tmp_path: Path, broken: dict[str, Any]
) -> None:
    """Each part that a report is made of is checked, so it is measured again."""
    path = tmp_path / "result.json"
    path.write_text(json.dumps(WHOLE | broken))

    assert read_result(path) is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", "\xff"])
def test_a_result_that_is_no_result_is_none(tmp_path: Path, text: str | None) -> None:
    """Lost, empty, cut, without its keys, not UTF-8."""
    path = tmp_path / "result.json"
    if text is not None:
        path.write_bytes(text.encode("latin-1"))

    assert read_result(path) is None


def test_a_training_without_a_record_has_no_revision() -> None:
    """Nothing is known of what trained it, so it is of no version that there was."""
    assert TrainingRecord() == TrainingRecord(revision=0, machine={})


def test_the_first_of_all_failures_is_told(tmp_path: Path) -> None:
    """One reason is enough to start with."""
    error = all_failed([FailedRow("a", 1, "broken"), FailedRow("b", 0, "lost")], tmp_path)

    assert error.what == "all 2 rows failed; a with seed 1: broken"
    assert error.where == str(tmp_path)
    only = all_failed([FailedRow("a", 1, "broken")], tmp_path)
    assert only.what == "the only row failed; a with seed 1: broken"
