"""What a study would take, without doing it: trainings, hours, memory and disk."""

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from pipelines.config import TrainSettings
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import LabelTables
from pipelines.study.runs import Row
from pipelines.study.scope import by_training, scope_of
from pipelines.study.worlds import WorldCost, WorldSource

_FLOAT = 4  # bytes


@dataclass(frozen=True)
class PlannedTraining:
    """One training, with all seeds.

    Args:
        name: Of the training.
        rows: That are measured on it.
        done: Of the seeds, how many are trained.
        to_do: How many are not.
        iterations: Of each.
        images: Shown in each, repetitions counted.
        hours: For those to do, one after the other.
        gigabytes: Of all its checkpoints and heads.
    """

    name: str
    rows: tuple[str, ...]
    done: int
    to_do: int
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
        missing: Files that the user has yet to bring.
        train_images: Of the world.
        evaluation_images: Of the world, on which each row is evaluated; 0 if the study does not.
        time_basis: Where the hours come from.
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
    memory_gigabytes: float
    memory_basis: str
    image_gigabytes: float
    image_basis: str

    @property
    def hours(self) -> float:
        """Of all trainings to do, one after the other."""
        return sum(training.hours for training in self.trainings)

    @property
    def gigabytes(self) -> float:
        """Of all checkpoints and heads."""
        return sum(training.gigabytes for training in self.trainings)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as JSON values."""
        return asdict(self) | {"hours": self.hours, "gigabytes": self.gigabytes}


def plan_study(
    name: str,
    source: WorldSource,
    output: Path,
    *,
    seeds: Sequence[int],
    methods: Sequence[str] = (),
) -> StudyPlan:
    """Tell what :func:`pipelines.study.study.run_study` would do; nothing need be there yet.

    Raises:
        ConfigError: If the study or a row is unknown, or the world serves no row.
    """
    scope = scope_of(name, source, output, seeds, methods)
    cost, evaluates = source.cost, scope.study.evaluates
    groups = zip(*(by_training(scope.rows(seed)) for seed in scope.seeds), strict=True)
    trainings = [
        (rows_of_seeds, [rows[0] for rows in rows_of_seeds if rows[0].is_trained()])
        for rows_of_seeds in groups
    ]
    finished = [row for _, trained in trainings for row in trained]
    factor = _slowness(finished, cost) if finished else 1.0
    basis = f"{len(finished)} finished trainings here" if finished else cost.time_basis
    return StudyPlan(
        study=scope.study.name,
        world=source.name,
        seeds=len(scope.seeds),
        trainings=tuple(
            _plan(rows, len(done), cost, factor, exports=evaluates) for rows, done in trainings
        ),
        left_out=dict(scope.left_out),
        missing=tuple(source.missing()),
        train_images=cost.train_images,
        evaluation_images=cost.evaluation_images if evaluates else 0,
        time_basis=basis,
        memory_gigabytes=cost.memory_gigabytes,
        memory_basis=cost.memory_basis,
        image_gigabytes=cost.image_gigabytes,
        image_basis=cost.image_basis,
    )


def _plan(
    group: Sequence[Sequence[Row]], done: int, cost: WorldCost, factor: float, *, exports: bool
) -> PlannedTraining:
    """Plan a training with all its seeds.

    Args:
        group: Its rows, of each seed.
        done: Of the seeds.
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
    return PlannedTraining(
        name=rows[0].variant.training,
        rows=tuple(row.variant.name for row in rows),
        done=done,
        to_do=len(group) - done,
        iterations=schedule.iterations,
        images=images,
        hours=seconds * (len(group) - done) / 3600,
        gigabytes=len(group) * (checkpoint_bytes(settings, cost) + heads) / 1e9,
    )


def _slowness(finished: Sequence[Row], cost: WorldCost) -> float:
    """Return how many times the expected seconds finished trainings took."""
    factors = []
    for row in finished:
        settings = row.settings()
        images = settings.schedule.iterations * settings.schedule.batch_size
        factors.append(row.log().seconds / images / cost.seconds_per_image[settings.head.method])
    return statistics.fmean(factors)


def checkpoint_bytes(settings: TrainSettings, cost: WorldCost) -> int:
    """Return the size of a checkpoint: the detector, its head, and the classifier's rows.

    The detector is put together without memory for its numbers.
    """
    with torch.device("meta"):
        rows = torch.empty(cost.classes, cost.width)
        seen = torch.arange(cost.seen)
        head = build_head(
            settings.head, ClassRowSource(rows, seen, seen, seen[:0]), settings.detector.roi_width
        )
        tables = LabelTables(*(torch.empty(0) for _ in LabelTables._fields))
        model = build_detector(settings.backbone, settings.detector, head, tables)
    state = [*model.state_dict().values(), rows]
    return int(sum(tensor.numel() * tensor.element_size() for tensor in state))
