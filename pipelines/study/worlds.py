"""A world: a classifier, boxes for some of its classes, and where all of them are evaluated."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pipelines.evaluate import GroundTruthFiles

SEEN_AP50, NOVEL_AP50, NOVEL_AR50 = "seen_AP50", "novel_AP50", "novel_AR50"
METRICS = (SEEN_AP50, NOVEL_AP50, NOVEL_AR50)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class EvaluationSet:
    """Images with boxes of some classes.

    Args:
        classes: Those that are scored, alone: a group of a head's classes or a class file.
        images: Folders or archives.
        truth: Their annotations.
    """

    classes: str
    images: tuple[Path, ...]
    truth: GroundTruthFiles


@dataclass(frozen=True)
class World:
    """Everything that the rows of a study share.

    Args:
        settings: Of training, nested as in a settings file; all but the head.
        evaluations: Where each metric of ``METRICS`` is measured.
        words: Word vectors of the classes, as a classifier file.
        similarity: The classifier's probabilities over images of each class.
    """

    settings: Mapping[str, Any]
    evaluations: Mapping[str, EvaluationSet]
    words: Path | None = None
    similarity: Path | None = None


class WorldSource(Protocol):
    """Makes a world, or finds the parts of one that the user brings."""

    name: str
    seeded: bool  # whether another seed is another world, not only another training

    def prepare(self, folder: Path, seed: int, on_progress: Progress) -> World:
        """Make what is missing in a folder of the world's own, and return the world."""
        ...
