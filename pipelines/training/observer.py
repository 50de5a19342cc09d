"""Those who hear what a training does, while it does it."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.data.batches import SkippedImage
from pipelines.training.plan import DiskUse
from pipelines.training.records import StepRecord, Timing


class Observer:
    """Hears everything, and does nothing about it; subclasses take up what concerns them."""

    def begun(self, folder: Path, iteration: int) -> None:
        """Hear that a run has taken its first step here.

        Args:
            folder: Of the run.
            iteration: Steps before; above 0 where it goes on.
        """

    def reckoned(self, disk: DiskUse) -> None:
        """Hear, after it has begun, what its checkpoints will need."""

    def skipped(self, image: SkippedImage) -> None:
        """Hear, once, of an image that does not decode; another takes its place."""

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        """Hear of a record and its timing, as they go into the logs."""

    def evaluated(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Hear of an evaluation: fractions of 1, by name."""

    def ended(self, folder: Path) -> None:
        """Hear that a run has taken all its steps, or used up its time; its files are complete."""
