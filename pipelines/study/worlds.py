"""A world: a classifier, boxes for some of its classes, and where all of them are evaluated."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pipelines.config import Metric
from pipelines.data.class_choice import GROUPS
from pipelines.errors import DatasetError
from pipelines.evaluate import GroundTruthFiles
from pipelines.storage import atomic_path

SEEN_AP50, NOVEL_AP50, NOVEL_AR50 = "seen_AP50", "novel_AP50", "novel_AR50"
METRICS = (SEEN_AP50, NOVEL_AP50, NOVEL_AR50)
Progress = Callable[[str, int, int], None]
DeviceType = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class EvaluationSet:
    """Images with boxes of some classes.

    Args:
        classes: Those that are scored, alone: a group of a head's classes or a class file.
        images: Folders or archives.
        truth: Their annotations.
        metric: That judges detections in them; it decides too which classes AR50 is a mean over.
    """

    classes: str
    images: tuple[Path, ...]
    truth: GroundTruthFiles
    metric: Metric = "oid"

    @property
    def class_files(self) -> tuple[Path, ...]:
        """The class file, unless it is a group; a file that is called like a group is none."""
        return () if self.classes in GROUPS else (Path(self.classes),)


@dataclass(frozen=True)
class World:
    """Everything that the rows of a study share.

    Args:
        settings: Of training, nested as in a settings file; all but the head.
        method_settings: What a method needs in this world, by method and ``key.path``.
        training_settings: What a single training needs, by its name and ``key.path``.
        evaluations: Where each metric of ``METRICS`` is measured.
        words: Word vectors of the classes, as a classifier file.
        similarity: The classifier's probabilities over images of each class.
    """

    settings: Mapping[str, Any]
    evaluations: Mapping[str, EvaluationSet]
    method_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    training_settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    words: Path | None = None
    similarity: Path | None = None


@dataclass(frozen=True)
class WorldCost:
    """What a plan reckons with where nothing has been measured yet.

    Args:
        device: What the figures of time and memory are of: a core of a processor, or a GPU.
        train_images: With boxes.
        evaluation_images: In all evaluation sets.
        classes: C, of the classifier.
        width: d, of its rows.
        seen: Classes with boxes and a classifier row.
        seconds_per_image: Of training, by method.
        time_basis: Where these come from, in words.
        memory_gigabytes: Of one training.
        memory_basis: Where that comes from.
        image_gigabytes: Of all images on disk.
        image_basis: Where that comes from.
    """

    device: DeviceType
    train_images: int
    evaluation_images: int
    classes: int
    width: int
    seen: int
    seconds_per_image: Mapping[str, float]
    time_basis: str
    memory_gigabytes: float
    memory_basis: str
    image_gigabytes: float
    image_basis: str


class WorldSource(Protocol):
    """Makes a world, or finds the parts of one that the user brings."""

    @property
    def name(self) -> str:
        """Of its folder."""
        ...

    @property
    def seeded(self) -> bool:
        """Whether another seed is another world, not only another training."""
        ...

    @property
    def lacks(self) -> Mapping[str, str]:
        """Why it cannot serve rows, by what they need: ``words``, ``similarity``."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What to know about the figures of rows in this world, by the name of the row."""
        ...

    @property
    def cost(self) -> WorldCost:
        """What a plan reckons with."""
        ...

    def world(self, folder: Path) -> World:
        """Return the world whose own files are in a folder, made or not."""
        ...

    def missing(self) -> Sequence[str]:
        """Return the files that the user has yet to bring, each with how to get it."""
        ...

    def refuse_other(self, folder: Path, seed: int) -> None:
        """Raise ConfigError if a folder of the world's own holds what another world needs."""
        ...

    def prepare(self, folder: Path, seed: int, device: str, on_progress: Progress) -> World:
        """Make what is missing in a folder of the world's own, and return the world."""
        ...


def refuse_missing(source: WorldSource) -> None:
    """Raise one DatasetError that lists all files that the user has yet to bring."""
    missing = source.missing()
    if missing:
        raise DatasetError(
            f"{len(missing)} of the files of the world {source.name} are missing",
            mend="\n".join(["They are:", *missing]),
        )


def write_classes(path: Path, rows: Iterable[tuple[str, str]]) -> None:
    """Write a class file of ids and names."""
    with atomic_path(path) as temporary, temporary.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("LabelName", "DisplayName"))
        writer.writerows(rows)
