"""What a study would take, without doing it: trainings, hours, memory and disk."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.devices import resolve_device
from pipelines.errors import ArtifactError, ConfigError
from pipelines.storage import refuse_unwritable
from pipelines.study.costs import at_full_speed, checkpoint_bytes, device_type, slowness
from pipelines.study.outputs import report_files
from pipelines.study.runs import Row, refuse_to_lose
from pipelines.study.scope import Scope, by_training, scope_of
from pipelines.study.wording import counted
from pipelines.study.workers import share_out
from pipelines.study.worlds import WorldCost, WorldSource

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class PlannedTraining:
    """One training, with all seeds.

    Args:
        name: Of the training.
        rows: That are measured on it.
        done: Of the seeds, how many are trained, in a world that would not be refused.
        to_do: How many would be trained.
        refused: Why the others would not: what other worlds or finished trainings are in their
            folders.
        iterations: Of each.
        images: Shown in each, repetitions counted.
        hours: For those to do, one after the other.
        gigabytes: Of all its checkpoints and heads.
    """

    name: str
    rows: tuple[str, ...]
    done: int
    to_do: int
    refused: tuple[str, ...]
    iterations: int
    images: int
    hours: float
    gigabytes: float


@dataclass(frozen=True)
class StudyPlan:
    """What a study would take.

    Args:
        study: Its name.
        world: Its name.
        seeds: Their number.
        trainings: Its trainings.
        left_out: Why the world cannot serve other rows, by name.
        missing: Files that the user has yet to bring, and devices that are not here.
        train_images: Of the world.
        evaluation_images: Of the world, on which each row is evaluated; 0 if the study does not.
        time_basis: Where the hours come from.
        jobs: Trainings side by side.
        at_full_speed: How many of them at a time take as long as one; None if nothing tells, since
            the hours are of another device, or of a GPU that no other training shares.
        memory_gigabytes: Of one training.
        memory_basis: Where that comes from.
        image_gigabytes: Of all images.
        image_basis: Where that comes from.
    """

    study: str
    world: str
    seeds: int
    trainings: tuple[PlannedTraining, ...]
    left_out: dict[str, str]
    missing: tuple[str, ...]
    train_images: int
    evaluation_images: int
    time_basis: str
    jobs: int
    at_full_speed: int | None
    memory_gigabytes: float
    memory_basis: str
    image_gigabytes: float
    image_basis: str

    @property
    def hours(self) -> float:
        """Of all trainings to do, one after the other."""
        return sum(training.hours for training in self.trainings)

    @property
    def hours_side_by_side(self) -> float | None:
        """Of all trainings to do, at least: the last of them may not fill all jobs."""
        return self.hours / self.at_full_speed if self.at_full_speed else None

    @property
    def memory_gigabytes_side_by_side(self) -> float:
        """Of all trainings that run at a time."""
        return self.memory_gigabytes * self.jobs

    @property
    def refused(self) -> list[str]:
        """Why trainings would be refused; those in one world may have one reason."""
        reasons = (reason for training in self.trainings for reason in training.refused)
        return list(dict.fromkeys(reasons))

    @property
    def gigabytes(self) -> float:
        """Of all checkpoints and heads."""
        return sum(training.gigabytes for training in self.trainings)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self) | {
            "hours": self.hours,
            "hours_side_by_side": self.hours_side_by_side,
            "memory_gigabytes_side_by_side": self.memory_gigabytes_side_by_side,
            "gigabytes": self.gigabytes,
            "refused": self.refused,
        }


def plan_study(
    name: str,
    source: WorldSource,
    output: Path,
    *,
    seeds: Sequence[int],
    methods: Sequence[str] = (),
    jobs: int | None = None,
    devices: Sequence[str] = ("auto",),
) -> StudyPlan:
    """Tell what :func:`pipelines.study.study.run_study` would do; no file need be there yet.

    Raises:
        ConfigError: If the study, a row or a device is unknown, or the world serves no row.
        OSError: If the output can hold no file.
    """
    scope = scope_of(name, source, output, seeds, methods)
    refuse_unwritable(report_files(scope).values())
    lost = _other_worlds(scope)
    groups = list(zip(*(by_training(scope.rows(seed)) for seed in scope.seeds), strict=True))
    slots = share_out(devices, jobs, len(scope.seeds) * len(groups))
    firsts = [[rows[0] for rows in group] for group in groups]
    rows = [row for group in firsts for row in group if row.seed not in lost]
    finished = [row for row in rows if row.is_trained()]
    cost, evaluates = source.cost, scope.study.evaluates
    device = device_type(slots)
    factors = slowness(finished, cost, device)
    plan = partial(
        _plan,
        finished=finished,
        lost=lost,
        cost=cost,
        factor=statistics.fmean(factors) if factors else 1.0,
        exports=evaluates,
    )
    trainings = tuple(plan(group) for group in groups)
    jobs = max(min(len(slots), sum(training.to_do for training in trainings)), 1)
    return StudyPlan(
        study=scope.study.name,
        world=source.name,
        seeds=len(scope.seeds),
        trainings=trainings,
        left_out=dict(scope.left_out),
        missing=(*source.missing(), *_absent(devices)),
        train_images=cost.train_images,
        evaluation_images=cost.evaluation_images if evaluates else 0,
        time_basis=f"{counted(len(factors), 'finished training')} here"
        if factors
        else cost.time_basis,
        jobs=jobs,
        at_full_speed=at_full_speed(slots[:jobs], device if factors else cost.device),
        memory_gigabytes=cost.memory_gigabytes,
        memory_basis=cost.memory_basis,
        image_gigabytes=cost.image_gigabytes,
        image_basis=cost.image_basis,
    )


def _other_worlds(scope: Scope) -> dict[int, str]:
    """Return why the worlds of some seeds would be refused, by seed."""
    reasons = {}
    for seed in scope.seeds:
        try:
            scope.source.refuse_other(scope.world_folder(seed), seed)
        except ConfigError as error:
            reasons[seed] = error.place_and_cause
    return reasons


def _absent(devices: Sequence[str]) -> list[str]:
    """Return which devices are not here: the study may run on another machine."""
    reasons = []
    for device in dict.fromkeys(devices):
        try:
            resolve_device(device)
        except ConfigError as error:
            reasons.append(error.what)
    return reasons


def _plan(
    group: Sequence[Sequence[Row]],
    *,
    finished: Sequence[Row],
    lost: Mapping[int, str],
    cost: WorldCost,
    factor: float,
    exports: bool,
) -> PlannedTraining:
    """Plan a training with all its seeds.

    Args:
        group: Its rows, of each seed.
        finished: Rows that are trained, the first of each training.
        lost: Why the worlds of some seeds would be refused.
        cost: Of the world.
        factor: Times the seconds of the world's cost.
        exports: Whether the study writes heads.
    """
    rows = group[0]
    settings = rows[0].settings()
    schedule = settings.schedule
    images = schedule.iterations * schedule.batch_size
    seconds = factor * images * cost.seconds_per_image[settings.head.method]
    num_heads = sum(row.has_head_file for row in rows) if exports else 0
    heads = num_heads * cost.classes * settings.detector.roi_width * _FLOAT
    waiting = [of_seed[0] for of_seed in group if of_seed[0] not in finished]
    reasons = (lost.get(row.seed) or _refusal(row) for row in waiting)
    refused = tuple(reason for reason in reasons if reason)
    to_do = len(waiting) - len(refused)
    return PlannedTraining(
        name=rows[0].variant.training,
        rows=tuple(row.variant.name for row in rows),
        done=len(group) - len(waiting),
        to_do=to_do,
        refused=refused,
        iterations=schedule.iterations,
        images=images,
        hours=seconds * to_do / 3600,
        gigabytes=len(group) * (checkpoint_bytes(settings, cost) + heads) / 1e9,
    )


def _refusal(row: Row) -> str | None:
    """Return why the row's training would be refused, as far as the files that are there tell."""
    try:
        refuse_to_lose(row)
    except ConfigError as error:
        return error.place_and_cause
    except (ArtifactError, OSError):
        pass  # the world has yet to be made, or to be brought
    return None
