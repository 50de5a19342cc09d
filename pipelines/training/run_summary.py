"""A run in one line, also a damaged one."""

from dataclasses import dataclass
from pathlib import Path

from pipelines.errors import WTNError
from pipelines.training.run_reading import Run, read_run


@dataclass(frozen=True)
class RunSummary:
    """A run in one line.

    Args:
        name: Its folder, below the one that was looked through.
        folder: Its folder.
        method: That it trains.
        iteration: Steps taken.
        iterations: Steps in all.
        state: ``finished``, ``running``, ``running?``, ``stopped``, ``nonfinite`` or ``damaged``.
        loss: Sum of all losses over the last window.
        metric: The figure that is the best.
        best: Its highest value so far, a fraction of 1.
        best_iteration: Steps before it was measured.
        images_per_second: Median over all windows.
        modified: When it was last written, in seconds since the epoch.
        fault: What is wrong with a damaged one.
    """

    name: str
    folder: Path
    method: str | None = None
    iteration: int | None = None
    iterations: int | None = None
    state: str = "damaged"
    loss: float | None = None
    metric: str | None = None
    best: float | None = None
    best_iteration: int | None = None
    images_per_second: float | None = None
    modified: float | None = None
    fault: str | None = None


def summary(run: Run, name: str) -> RunSummary:
    """Describe a run; ``name`` is what it is called among others."""
    best = run.best
    return RunSummary(
        name,
        run.folder,
        method=run.settings.head.method,
        iteration=run.iteration,
        iterations=run.settings.schedule.iterations,
        state=run.state,
        loss=run.history.losses.get("loss"),
        metric=run.metric,
        best=best.metrics[run.metric] if best and run.metric else None,
        best_iteration=best.iteration if best else None,
        images_per_second=run.history.images_per_second,
        modified=run.modified,
    )


def summary_or_fault(folder: Path, name: str) -> RunSummary:
    """Describe the run in a folder, or say what is wrong with it."""
    try:
        return summary(read_run(folder), name)
    except (WTNError, OSError) as error:
        fault = error.place_and_cause if isinstance(error, WTNError) else str(error)
        return RunSummary(name, folder, fault=fault)
