"""What a study writes down about a training and about a row: how it was made, what it came to."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.config import ScheduleSettings
from pipelines.errors import RunError
from pipelines.storage import atomic_path
from pipelines.study.worlds import METRICS

# Raise them with every change after which the same settings and files train another detector, or
# the same detector gets other figures: what earlier versions left behind is then done again.
TRAINING_REVISION = 2
RESULT_REVISION = 1
_BROKEN = (OSError, ValueError, LookupError, TypeError, ArithmeticError)  # what a bad file raises
_LAST_SHARE = 10_000 / 180_000  # of the iterations; the loss of section 5.2 is a mean over the last


@dataclass(frozen=True)
class RowResult:
    """What one training with one seed came to.

    Args:
        variant: Its name.
        seed: Of the training, and of a world that is drawn.
        metrics: Percent, by the names of ``METRICS``; NaN where undefined.
        loss_classifier: Mean over the last eighteenth of the training (paper: section 5.2).
        seconds: Of the training; these two are NaN where its log is lost.
        conditions: What the figures depend on.
        machine: That evaluated it.
    """

    variant: str
    seed: int
    metrics: Mapping[str, float]
    loss_classifier: float
    seconds: float
    conditions: Mapping[str, Any]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class TrainingRecord:
    """How a detector was trained, as far as its checkpoint does not tell.

    Args:
        revision: ``TRAINING_REVISION`` of the version that trained it.
        machine: That trained it; empty if it is not known.
    """

    revision: int = 0  # of none that is known
    machine: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class FailedRow:
    """A row that has no result.

    Args:
        row: Its name.
        seed: Of its training.
        error: What went wrong.
    """

    row: str
    seed: int
    error: str


@dataclass(frozen=True)
class TrainingLog:
    """The course of a training; NaN where it is not known.

    Args:
        seconds: It took.
        loss_classifier: Mean over its last eighteenth (paper: section 5.2).
    """

    seconds: float = math.nan
    loss_classifier: float = math.nan


def read_result(path: Path) -> RowResult | None:
    """Read the result of a row; None if there is none, or not all of it."""
    try:
        found = RowResult(**json.loads(path.read_text()))
        numbers = [found.loss_classifier, found.seconds, *(found.metrics[name] for name in METRICS)]
    except _BROKEN:
        return None
    are_numbers = all(isinstance(n, float | int) and abs(n) != math.inf for n in numbers)
    are_mappings = isinstance(found.conditions, dict) and isinstance(found.machine, dict)
    return found if are_numbers and are_mappings else None


def read_log(metrics: Path, timings: Path, schedule: ScheduleSettings) -> TrainingLog:
    """Read the logs of a training that has ended, one JSON object a line.

    Nothing is known from a file that is lost or broken, or does not reach the end of the training;
    the detector is as good without it.
    """
    loss = _of_a_whole_log(metrics, schedule, lambda records: _late_loss(records, schedule))
    seconds = _of_a_whole_log(timings, schedule, lambda records: sum(r["seconds"] for r in records))
    return TrainingLog(seconds, loss)


def _of_a_whole_log(
    path: Path,
    schedule: ScheduleSettings,
    figure: Callable[[Sequence[Mapping[str, Any]]], float],
) -> float:
    """Return a figure of a log, or NaN if it is not whole."""
    try:
        records = [json.loads(line) for line in path.read_text().splitlines()]
        whole = records[-1]["iteration"] == schedule.iterations
        return float(figure(records)) if whole else math.nan
    except _BROKEN:
        return math.nan


def _late_loss(records: Sequence[Mapping[str, Any]], schedule: ScheduleSettings) -> float:
    """Return the mean classification loss over the last steps."""
    steps = [record for record in records if record.get("losses")]
    ends = [0, *(record["iteration"] for record in steps)]
    first = schedule.iterations * (1 - _LAST_SHARE)
    late = [
        (record["iteration"] - before, record["losses"]["loss_classifier"])
        for before, record in zip(ends, steps, strict=False)
        if record["iteration"] > first
    ]
    weighted = sum(count * loss for count, loss in late)
    return float(weighted / sum(count for count, _ in late))


def write_json(path: Path, tree: Mapping[str, Any]) -> None:
    """Write a record as a whole."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(tree, indent=1))


def all_failed(failed: Sequence[FailedRow], where: Path) -> RunError:
    """Return the error for a study none of whose rows has a result."""
    first = failed[0]
    those = "the only row" if len(failed) == 1 else f"all {len(failed)} rows"
    return RunError(
        f"{those} failed; {first.row} with seed {first.seed}: {first.error}",
        where=where,
        mend="Once its cause is gone, the same command takes a row up again.",
    )
