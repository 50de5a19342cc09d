"""Read run folders: which there are, what one holds, and how several differ."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pipelines.config.comparison import flat
from pipelines.environment.report import Environment, read_environment
from pipelines.errors import DatasetError
from pipelines.figures import require_matplotlib
from pipelines.training.history import Evaluation
from pipelines.training.plots import draw_history
from pipelines.training.run_reading import is_run, read_run
from pipelines.training.run_summary import RunSummary, summary, summary_or_fault
from pipelines.training.stored_checkpoints import StoredCheckpoint, stored_checkpoints

ValueT = TypeVar("ValueT")

_DEPTH = 4  # folders below the given one: a study keeps OUTPUT/world/seed-0/row


@dataclass(frozen=True)
class RunDetails:
    """A run in full.

    Args:
        summary: In one line.
        settings: By ``key.path``, those that are not the defaults.
        losses: Of the last window that has any.
        skipped: Steps left out, because a loss was not finite.
        skipped_images: Looks at images that do not decode; others took their places.
        evaluations: All of them.
        seconds: Time of all steps that count.
        memory_bytes: The most that was in use; None in runs of earlier versions.
        checkpoints: All of them, the whole and the damaged ones.
        environment: What ``environment.json`` holds, or None.
        resume: The command that goes on with it; None if it is finished, or nothing whole is saved.
        plots: Pictures that were drawn.
    """

    summary: RunSummary
    settings: Mapping[str, Any]
    losses: Mapping[str, float]
    skipped: int
    skipped_images: int
    evaluations: tuple[Evaluation, ...]
    seconds: float
    memory_bytes: int | None
    checkpoints: tuple[StoredCheckpoint, ...]
    environment: Environment | None
    resume: str | None
    plots: tuple[Path, ...]


@dataclass(frozen=True)
class RunComparison:
    """Several runs side by side.

    Args:
        runs: Each in one line.
        settings: By ``key.path``, the values of each run where they are not all the same.
        losses: By name, of the last window of each run; None where it has no such loss.
        metrics: By name, the best of each run, a fraction of 1; None where it was not measured.
    """

    runs: tuple[RunSummary, ...]
    settings: Mapping[str, tuple[Any, ...]]
    losses: Mapping[str, tuple[float | None, ...]]
    metrics: Mapping[str, tuple[float | None, ...]]


def list_runs(folder: Path) -> list[RunSummary]:
    """Describe the runs in a folder and up to four folders below it, the newest first.

    A damaged run is one of them, with what is wrong.

    Raises:
        DatasetError: If there is no such folder, or no run in it.
    """
    found = [summary_or_fault(run, _name(run, folder)) for run in _run_folders(folder)]
    if not found:
        raise DatasetError(
            "no run in it" if folder.is_dir() else "no such folder",
            where=folder,
            mend="wtn train --output writes one.",
        )
    return sorted(found, key=lambda run: (-(run.modified or 0.0), run.name))


def show_run(folder: Path, *, plots: bool = False) -> RunDetails:
    """Describe one run.

    Args:
        folder: Of the run.
        plots: Draw its pictures again, into the folder.

    Raises:
        DatasetError: If it is not the folder of a run, or is damaged.
        ConfigError: If matplotlib is missing for the pictures.
    """
    if plots:
        require_matplotlib()
    run = read_run(folder)
    records, timings = run.history.records, run.history.timings
    checkpoints = tuple(stored_checkpoints(folder))
    return RunDetails(
        summary=summary(run, folder.name),
        settings={key: value for key, (value, _) in run.changed_settings.items()},
        losses=run.history.losses,
        skipped=records[-1].skipped if records else 0,
        skipped_images=records[-1].skipped_images if records else 0,
        evaluations=run.history.evaluations,
        seconds=run.history.seconds,
        memory_bytes=max((timing.memory_bytes for timing in timings), default=None),
        checkpoints=checkpoints,
        environment=read_environment(folder),
        resume=shlex.join(["wtn", "train", "--resume", str(folder)])
        if run.state != "finished" and any(found.goes_on for found in checkpoints)
        else None,
        plots=tuple(draw_history(run.history, folder)) if plots else (),
    )


def compare_runs(folders: Sequence[Path]) -> RunComparison:
    """Set runs side by side.

    Raises:
        DatasetError: If one of them is not the folder of a run, or is damaged.
    """
    runs = [read_run(folder) for folder in folders]
    settings = [flat(run.settings.model_dump(mode="json")) for run in runs]
    best = [
        {name: found.metrics[name] for name in history.metrics if (found := history.best(name))}
        for history in (run.history for run in runs)
    ]
    differing = {
        key: values
        for key, values in _side_by_side(settings).items()
        if any(value != values[0] for value in values)
    }
    return RunComparison(
        runs=tuple(summary(run, str(run.folder)) for run in runs),
        settings=differing,
        losses=_side_by_side([run.history.losses for run in runs]),
        metrics=_side_by_side(best),
    )


def _run_folders(folder: Path) -> Iterator[Path]:
    """Yield the runs in a folder and below; there are none below a run."""
    top = len(folder.parts)
    for place, below, _ in os.walk(folder):
        found = is_run(Path(place))
        if found or len(Path(place).parts) - top >= _DEPTH:
            below.clear()
        if found:
            yield Path(place)


def _name(run: Path, folder: Path) -> str:
    return run.name if run == folder else str(run.relative_to(folder))


def _side_by_side(
    trees: Sequence[Mapping[str, ValueT]],
) -> dict[str, tuple[ValueT | None, ...]]:
    """Return, for each key of any of the mappings, the value of each, or None."""
    keys = dict.fromkeys(key for tree in trees for key in tree)
    return {key: tuple(tree.get(key) for tree in trees) for key in keys}
