"""What ``wtn runs`` shows, in tables of at most 80 columns where names are short."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.environment.report import Environment
    from pipelines.runs import RunComparison, RunDetails
    from pipelines.training.run_summary import RunSummary
    from pipelines.training.stored_checkpoints import StoredCheckpoint

_UNITS = (("d", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
_SHOWN_EVALUATIONS = 10
_THOUSANDS_FROM = 10_000  # so that the last digits are less than a tenth
_TEXTS, _FOLDED = ("run", "method", "state"), ("run", "method")


def show_list(runs: "Sequence[RunSummary]") -> None:
    """Print one line a run; columns that none of them fills are left out."""
    columns: dict[str, Callable[[RunSummary], str]] = {
        "run": lambda run: run.name,
        "method": lambda run: run.method or "",
        "done": lambda run: _iterations(run, _thousands),
        "state": lambda run: run.state,
        "loss": lambda run: _number(run.loss, "{:.4f}"),
        _best_of(runs): lambda run: _best(run, runs),
        "images/s": lambda run: _number(run.images_per_second, "{:.1f}"),
        "age": lambda run: _age(run.modified),
    }
    filled = {name: cell for name, cell in columns.items() if any(cell(run) for run in runs)}
    console.show_table(
        filled,
        ([cell(run) for cell in filled.values()] for run in runs),
        text=[place for place, name in enumerate(filled) if name in _TEXTS],
        folded=[place for place, name in enumerate(filled) if name in _FOLDED],
    )
    for run in runs:
        if run.fault is not None:
            console.say(f"{run.name} is damaged: {run.fault}")


def show_details(details: "RunDetails") -> None:
    """Print everything about one run."""
    run = details.summary
    facts = {
        "method": run.method,
        "state": f"{run.state}, written {_age(run.modified)} ago",
        "iterations": _iterations(run),
        "time": console.duration(details.seconds) if details.seconds else "",
        "images/s": _number(run.images_per_second, "{:.1f}"),
        "memory": console.gigabytes(details.memory_bytes) if details.memory_bytes else "",
        "machine": _machine(details.environment),
        "steps left out": details.skipped or "",
        "images that do not decode": details.skipped_images or "",
        **{name: f"{value:.4f}" for name, value in details.losses.items()},
    }
    console.show_facts(str(run.folder), {name: fact for name, fact in facts.items() if fact})
    if details.settings:
        console.show_facts("settings that are not the defaults", _shown(details.settings))
    _show_evaluations(details)
    _show_checkpoints(details.checkpoints)
    for path in details.plots:
        console.say(f"drawn: {path}")
    if details.resume is not None:
        when = ", once it has stopped" if run.state.startswith("running") else ""
        console.say(f"Go on{when}, with: {details.resume}")
    elif run.state != "finished":
        written = (
            "No whole checkpoint is left"
            if details.checkpoints
            else "No checkpoint was written yet"
        )
        console.say(f"{written}, so there is nothing to go on from.")


def show_comparison(comparison: "RunComparison") -> None:
    """Print runs side by side, one column each."""
    runs = comparison.runs
    names = _short_names([run.folder for run in runs])
    rows = {
        "state": [run.state for run in runs],
        "iterations": [_iterations(run) for run in runs],
        "images/s": [_number(run.images_per_second, "{:.1f}") or "-" for run in runs],
    }
    _show_side_by_side("run", names, rows)
    _show_side_by_side("settings that differ", names, comparison.settings)
    losses = {
        name: [_number(value, "{:.4f}") or "-" for value in values]
        for name, values in comparison.losses.items()
    }
    _show_side_by_side("loss, last window", names, losses)
    metrics = {
        name.replace("_", " "): ["-" if v is None else console.percent(v) for v in values]
        for name, values in comparison.metrics.items()
    }
    _show_side_by_side("best evaluation", names, metrics)


def _show_side_by_side(
    title: str, names: Sequence[str], rows: Mapping[str, Iterable[object]]
) -> None:
    if rows:
        console.show_table(
            (title, *names),
            ((name, *map(_value, values)) for name, values in rows.items()),
        )


def _short_names(folders: Sequence[Path]) -> list[str]:
    """Return the names of folders where they tell them apart, or else their paths."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]


def _show_evaluations(details: "RunDetails") -> None:
    evaluations = details.evaluations[-_SHOWN_EVALUATIONS:]
    if not evaluations:
        return
    names = list(dict.fromkeys(name for found in evaluations for name in found.metrics))
    console.show_table(
        ("evaluated after", *(name.replace("_", " ") for name in names)),
        (
            (str(found.iteration), *(_percent(found.metrics.get(name)) for name in names))
            for found in evaluations
        ),
        text=(),
    )
    run = details.summary
    if run.best is not None:
        told = f"best {run.metric}: {console.percent(run.best)}"
        console.say(f"{told}, after {run.best_iteration} iterations")


def _show_checkpoints(checkpoints: "Sequence[StoredCheckpoint]") -> None:
    if checkpoints:
        console.show_table(
            ("checkpoint", "iterations", "state"),
            (
                (found.file, _number(found.iteration, "{}"), _condition(found.fault))
                for found in checkpoints
            ),
            text=(0, 2),
        )


def _condition(fault: str | None) -> str:
    return "whole" if fault is None else f"damaged: {fault}"


def _iterations(run: "RunSummary", form: Callable[[int], str] = str) -> str:
    if run.iteration is None or run.iterations is None:
        return ""
    return f"{form(run.iteration)}/{form(run.iterations)}"


def _thousands(count: int) -> str:
    """Return ``120020`` as ``120k``, to save room; small numbers as they are."""
    return f"{count // 1000}k" if count >= _THOUSANDS_FROM else str(count)


def _best_of(runs: "Sequence[RunSummary]") -> str:
    """Return the title of the best figures: their name, if they are all of one."""
    names = {run.metric for run in runs if run.metric is not None}
    return f"best\n{names.pop().replace('_', ' ')}" if len(names) == 1 else "best"


def _best(run: "RunSummary", runs: "Sequence[RunSummary]") -> str:
    if run.best is None or run.metric is None:
        return ""
    named = _best_of(runs) == "best"
    figure = console.percent(run.best)
    return f"{run.metric.replace('_', ' ')} {figure}" if named else figure


def _machine(environment: "Environment | None") -> str:
    if environment is None:
        return ""
    version = environment.torch.torch if environment.torch else "unknown"
    return f"{environment.machine}; torch {version}"


def _age(modified: float | None) -> str:
    """Return how long ago a time was, in the largest unit of which there are at least two."""
    if modified is None:
        return ""
    seconds = max(0.0, time.time() - modified)
    name, unit = next((unit for unit in _UNITS if seconds >= 2 * unit[1]), _UNITS[-1])
    return f"{seconds / unit:.0f} {name}"


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else console.percent(fraction)


def _shown(settings: Mapping[str, Any]) -> dict[str, str]:
    return {key: _value(value) for key, value in settings.items()}


def _value(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "unset" if value is None else str(value)
