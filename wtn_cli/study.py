"""``wtn study``: the paper's experiments, each as one command."""

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pipelines.errors import ConfigError, RunError
from pipelines.study.wording import counted
from wtn_cli import console
from wtn_cli.options import AsJson
from wtn_cli.study_tables import show_plan, show_report

if TYPE_CHECKING:
    from pipelines.study.study import StudyProgress
    from pipelines.study.worlds import WorldSource

_QUIET = 60.0  # seconds after which a step is worth a line of progress

Name = Annotated[
    str,
    typer.Argument(
        metavar="STUDY",
        help="table1, table2, table3 or fig4 of the paper; or length, spread, start, switches, "
        "beyond.",
    ),
]
WorldName = Annotated[
    Literal["shapes", "tin200", "open-images"],
    typer.Option(
        "--world",
        metavar="WORLD",
        help="shapes (drawn; minutes a row on a CPU), tin200 or open-images (files in --data).",
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of the world's files; --dry-run names those missing.")
]
Words = Annotated[
    Path | None, typer.Option(help="Word vectors of the classes, made by: wtn extract-weights")
]
Scale = Annotated[
    int | None, typer.Option(min=1, help="Enlarge the mosaics of tin200 (1; a GPU takes 2).")
]
Size = Annotated[
    Literal["small", "paper"] | None,
    typer.Option(
        metavar="SIZE",
        help="Of the world shapes: small (960 classes, the default) or paper (5160 classes and "
        "ResNet-50; an hour a row on a GPU).",
    ),
]
Seeds = Annotated[int, typer.Option(min=1, help="Trainings of each row, with seeds from 0.")]
Methods = Annotated[
    str | None, typer.Option(metavar="A,B", help="Only these rows, in files named after them.")
]
Iterations = Annotated[
    int | None,
    typer.Option(min=10, help="Of each training (1000; --size paper: 14000; open-images: 180000)."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Trainings side by side; one a processor, or one a GPU."),
]
Devices = Annotated[
    list[str] | None,
    typer.Option("--device", metavar="DEVICE", help="auto, cpu, cuda:1, ...; repeat for several."),
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Folder of all studies, with one for each world.")
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar="",
        help="Print what it would take, and stop; exit code 1 if trainings would be refused, 0 if "
        "only files or devices are missing.",
    ),
]


def study(
    name: Name,
    world: WorldName = "shapes",
    data: Data = None,
    words: Words = None,
    scale: Scale = None,
    size: Size = None,
    seeds: Seeds = 1,
    methods: Methods = None,
    iterations: Iterations = None,
    jobs: Jobs = None,
    devices: Devices = None,
    output: Output = Path("study"),
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Train, export and evaluate every row of a study, and set them beside the paper's figures.

    What is finished is not done again, so after Ctrl-C or a failure the same command does the rest;
    a training that had not ended starts again from its first iteration. A row that fails stops no
    other; the exit code is then 1.

    Example: `wtn study table1 --world shapes --seeds 3`
    """
    from pipelines.study.planning import plan_study
    from pipelines.study.study import run_study  # imports torch, so only when it runs

    source = _source(world, data, words, scale, size, iterations)
    chosen, given = _rows(methods), devices or ["auto"]
    if dry_run:
        plan = plan_study(
            name, source, output, seeds=range(seeds), methods=chosen, jobs=jobs, devices=given
        )
        console.emit_json(plan.as_dict()) if as_json else show_plan(plan)
        if plan.refused:
            refused = sum(len(training.refused) for training in plan.trainings)
            raise RunError(
                f"{counted(refused, 'training')} would be refused: other things are in the folders",
                mend="Name another folder with --output to keep both, or delete what is there.",
            )
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop is a Ctrl-C
    with console.progress(f"study {name}") as bar:
        report = run_study(
            name,
            source,
            output,
            seeds=range(seeds),
            methods=chosen,
            jobs=jobs,
            devices=given,
            command=shlex.join(["wtn", *sys.argv[1:]]),
            on_progress=_ProgressShown(bar),
        )
    console.emit_json(report.as_dict()) if as_json else show_report(report)
    if report.failed:
        names = ", ".join(f"{row.row} (seed {row.seed})" for row in report.failed)
        raise RunError(
            f"{counted(len(report.failed), 'row')} failed: {names}",
            mend="The same command takes them up again once the cause is gone.",
        )


def _rows(methods: str | None) -> list[str]:
    """Return the names of the rows that were chosen; none stand for all of the study."""
    rows = [row for part in (methods or "").split(",") if (row := part.strip())]
    if methods is not None and not rows:
        raise ConfigError("--methods names no row", mend="Leave it out for all rows of the study.")
    return rows


def _source(
    world: str,
    data: Path | None,
    words: Path | None,
    scale: int | None,
    size: str | None,
    iterations: int | None,
) -> "WorldSource":
    """Return the world, and refuse options that change nothing in it."""
    idle = {
        "--data": data is not None and world == "shapes",
        "--words": words is not None and world == "shapes",
        "--scale": scale is not None and world != "tin200",
        "--size": size is not None and world != "shapes",
    }
    for option in (option for option, given in idle.items() if given):
        raise ConfigError(f"{option} changes nothing in the world {world}", mend="Leave it out.")
    if data is None and world != "shapes":
        raise ConfigError(f"the world {world} needs --data", mend="Name the folder of its files.")
    from pipelines.study import open_images, shapes, shapes_presets, tin200

    if data is None:
        preset = shapes_presets.PAPER if size == "paper" else shapes_presets.SMALL
        return shapes.ShapesSource(iterations or preset.iterations, preset.sizes, preset)
    if world == "tin200":
        return tin200.Tin200Source(data, words, iterations or tin200.ITERATIONS, scale or 1)
    return open_images.OpenImagesSource(data, words, iterations or open_images.ITERATIONS)


class _ProgressShown:
    """Shows the progress of a study.

    Where there is no terminal, that is a line when a task begins a part of its work, such as the
    evaluation of another row, and else the first step after a minute of silence.
    """

    def __init__(self, bar: console.ProgressLine) -> None:
        self._bar = bar
        self._parts: set[tuple[str, str]] = set()
        self._said = time.monotonic()

    def __call__(self, progress: "StudyProgress") -> None:
        parts = {(label, phase.name) for label, phase in progress.running.items()}
        news = bool(parts - self._parts) or time.monotonic() - self._said > _QUIET
        self._parts = parts
        if news:
            self._said = time.monotonic()
        running = "; ".join(f"{label}: {phase}" for label, phase in progress.running.items())
        self._bar.update(progress.done, progress.rows, running, every=news)
