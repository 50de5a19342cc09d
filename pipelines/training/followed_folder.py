"""A run folder that another process writes."""

from collections.abc import Mapping
from pathlib import Path

from pipelines.data.batches import Batch
from pipelines.training.checkpoints import Pair
from pipelines.training.progress import Progress
from pipelines.training.records import StepRecord, Timing
from pipelines.training.run_folder import RunFolder
from pipelines.training.step import StepOutcome
from pipelines.training.trainee import Trainee


class FollowedFolder(RunFolder):
    """What a process that is not the leader knows of the run folder; it writes nothing."""

    def begin(self, progress: Progress) -> None:
        """Leave it to the leader."""

    def log(self, record: StepRecord, timing: Timing) -> None:
        """Leave it to the leader."""

    def log_evaluation(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Leave it to the leader."""

    def save(self, trainee: Trainee, progress: Progress) -> None:
        """Note that the leader writes a pair."""
        self.last = Pair(self._pairs, progress.iteration)

    def keep_for_replay(
        self, trainee: Trainee, progress: Progress, batch: Batch, outcome: StepOutcome
    ) -> Path:
        """Return where the leader writes it."""
        return self.replay_folder(progress.iteration + 1)
