"""A whole study: every row of it with every seed, side by side where that is possible."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from pipelines.devices import resolve_device
from pipelines.errors import Interrupted
from pipelines.locks import locked
from pipelines.storage import refuse_unwritable
from pipelines.study.findings import find
from pipelines.study.machine import describe_machine
from pipelines.study.outputs import StudyReport, report_files, write_outputs
from pipelines.study.records import FailedRow, all_failed
from pipelines.study.runs import Row, measure_row, train_row
from pipelines.study.scope import Scope, by_training, scope_of
from pipelines.study.workers import Outcome, Slot, Task, in_words, run_tasks, share_out
from pipelines.study.worlds import Progress, World, WorldSource, refuse_missing

WAITS = "waits for another study"


@dataclass(frozen=True)
class Phase:
    """A part of a task's work, and how far it is.

    Args:
        name: Of the part.
        done: Of its steps.
        total: Of its steps; 1 if they are not counted.
    """

    name: str
    done: int
    total: int

    def __str__(self) -> str:
        return self.name if self.total == 1 else f"{self.name} {self.done}/{self.total}"


@dataclass(frozen=True)
class StudyProgress:
    """How far a study is.

    Args:
        done: Rows that have ended, well or not.
        rows: Of all seeds.
        running: What is going on, by the label of each task.
    """

    done: int
    rows: int
    running: dict[str, Phase]


@dataclass(frozen=True)
class PrepareWorld:
    """The making of a world."""

    source: WorldSource
    folder: Path
    seed: int

    @property
    def label(self) -> str:
        """Its name."""
        return f"world of seed {self.seed}" if self.source.seeded else "world"

    def run(self, device: str, on_progress: Progress) -> World:
        """Make what is missing, once no other study does."""
        with locked(self.folder, partial(on_progress, WAITS, 0, 1)):
            return self.source.prepare(self.folder, self.seed, device, on_progress)


@dataclass(frozen=True)
class RunTraining:
    """A training, and the measurements of the rows that share it."""

    rows: tuple[Row, ...]
    evaluates: bool

    @property
    def label(self) -> str:
        """Its name."""
        return f"{self.rows[0].variant.training}, seed {self.rows[0].seed}"

    def run(self, device: str, on_progress: Progress) -> dict[str, str]:
        """Do what neither this study nor another has done, once no other is at it.

        Returns:
            What went wrong with single rows, by their names.
        """
        with locked(self.rows[0].checkpoint.parent, partial(on_progress, WAITS, 0, 1)):
            return self._run(device, on_progress)

    def _run(self, device: str, on_progress: Progress) -> dict[str, str]:
        pending = [row for row in self.rows if not self.evaluates or row.result() is None]
        if pending:
            train_row(pending[0], device, on_progress)
        failed = {}
        for row in pending if self.evaluates else ():
            try:
                measure_row(row, device, on_progress)
            except Interrupted:
                raise
            except Exception as error:  # whatever it is, the other rows can go on
                failed[row.variant.name] = in_words(error)
        return failed


def run_study(
    name: str,
    source: WorldSource,
    output: Path,
    *,
    seeds: Sequence[int],
    methods: Sequence[str] = (),
    jobs: int | None = None,
    devices: Sequence[str] = ("auto",),
    command: str = "",
    on_progress: Callable[[StudyProgress], None] = lambda progress: None,
) -> StudyReport:
    """Train, export and evaluate every row with every seed, and set them beside the paper's.

    What is finished is not done again: a row that has a result under these settings, a checkpoint
    at the end of its training, a world that is drawn. A training that was interrupted starts again
    from its first iteration. A row that fails stops no other. Studies with one output may run at
    the same time: each waits for what another is making, and uses it.

    Args:
        name: Of the study, see :mod:`pipelines.study.studies`.
        source: Of the world.
        output: Folder of all studies; rows that two studies share are in it once.
        seeds: Of the trainings, and of a world that is drawn.
        methods: Names of rows; all of the study if there are none. A report of chosen rows has
            files of its own.
        jobs: Trainings side by side, which share the processors and take the devices in turn; by
            default one a processor, or one a GPU.
        devices: ``auto``, ``cpu``, ``cuda:1``, ...
        command: That is written into the record.
        on_progress: Called whenever something has happened.

    Raises:
        ConfigError: If the study, a row or a device is unknown, or the world serves no row.
        DatasetError: If the user has yet to bring files of the world; lists all.
        OSError: If the output can hold no file.
        RunError: If no row has a result.
        Interrupted: On Ctrl-C; rows and trainings that are finished are kept.
    """
    scope = scope_of(name, source, output, seeds, methods)
    for device in devices:
        resolve_device(device)
    refuse_missing(source)
    refuse_unwritable(report_files(scope).values())
    started = time.perf_counter()
    slots = share_out(devices, jobs, len(seeds) * len(by_training(scope.rows(scope.seeds[0]))))
    try:
        failed = _Crew(scope, slots, on_progress).work()
    except (KeyboardInterrupt, Interrupted) as interrupt:
        raise Interrupted(
            "the study was stopped",
            where=scope.folder,
            mend="What is finished is kept, and the same command does the rest; a training that "
            "had not ended starts again from its first iteration.",
        ) from interrupt
    return _report(scope, failed, command, time.perf_counter() - started, slots)


class _Crew:
    """Does the tasks of a study, and tells how far they are."""

    def __init__(
        self, scope: Scope, slots: Sequence[Slot], on_progress: Callable[[StudyProgress], None]
    ) -> None:
        self._scope, self._slots, self._on_progress = scope, slots, on_progress
        self._running: dict[str, Phase] = {}
        self._done, self._total = 0, len(scope.seeds) * len(scope.variants)

    def work(self) -> list[FailedRow]:
        """Make the worlds, then the rows in them; return the rows that failed."""
        self._show()
        failed = self._make_worlds()
        lost = {row.seed for row in failed}
        seeds = [seed for seed in self._scope.seeds if seed not in lost]
        groups = [by_training(self._scope.rows(seed)) for seed in seeds]
        tasks = [
            RunTraining(rows, self._scope.study.evaluates)
            for of_all_seeds in zip(*groups, strict=True)
            for rows in of_all_seeds
        ]
        for outcome in run_tasks(tasks, self._slots, self._tell):
            self._done += len(outcome.task.rows)
            self._end(outcome.task)
            failed += _failed_rows(outcome)
        return failed

    def _make_worlds(self) -> list[FailedRow]:
        scope = self._scope
        seed_of = {scope.world_folder(seed): seed for seed in reversed(scope.seeds)}
        tasks = [PrepareWorld(scope.source, folder, seed) for folder, seed in seed_of.items()]
        errors = {}
        for outcome in run_tasks(tasks, self._slots[: len(tasks)], self._tell):
            errors[outcome.task.folder] = outcome.error
            self._end(outcome.task)
        return [
            FailedRow(variant.name, seed, error)
            for seed in scope.seeds
            if (error := errors[scope.world_folder(seed)]) is not None
            for variant in scope.variants
        ]

    def _tell(self, task: Task, phase: str, done: int, total: int) -> None:
        self._running[task.label] = Phase(phase, done, total)
        self._show()

    def _end(self, task: Task) -> None:
        self._running.pop(task.label, None)
        self._show()

    def _show(self) -> None:
        self._on_progress(StudyProgress(self._done, self._total, dict(self._running)))


def _failed_rows(outcome: Outcome[RunTraining]) -> list[FailedRow]:
    """Return all rows of a training that failed, or those whose measurement did."""
    names = [row.variant.name for row in outcome.task.rows]
    errors = dict.fromkeys(names, outcome.error) if outcome.error else outcome.value
    seed = outcome.task.rows[0].seed
    return [FailedRow(name, seed, error) for name, error in errors.items() if error]


def _report(
    scope: Scope, failed: Sequence[FailedRow], command: str, seconds: float, slots: Sequence[Slot]
) -> StudyReport:
    lost = {(row.row, row.seed) for row in failed}
    rows = [row for seed in scope.seeds for row in scope.rows(seed)]
    kept = [row for row in rows if (row.variant.name, row.seed) not in lost]
    groups = [[row for row in kept if row.variant.name == v.name] for v in scope.variants]
    finished = [group for group in groups if group]
    if not finished:
        raise all_failed(failed, scope.folder)
    machine = describe_machine(slots[0].device)
    record = {
        "command": command,
        "seconds": seconds,
        "jobs": [asdict(slot) for slot in slots],
        "machine": machine if len(slots) == 1 else machine | {"threads": slots[0].threads},
    }
    return write_outputs(scope, find(scope.study, finished), tuple(failed), record)
