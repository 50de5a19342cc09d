"""What a training run writes: settings, logs, checkpoints to go on from, and what went wrong."""

import json
import math
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipelines.config import TrainSettings
from pipelines.data.batches import Batch
from pipelines.errors import RunError
from pipelines.provenance import sha256
from pipelines.storage import atomic_path, leftovers_in
from pipelines.training import logs
from pipelines.training.checkpoints import Pair, pairs_in, prune, put
from pipelines.training.nonfinite import batch_as_json
from pipelines.training.origin import Origin
from pipelines.training.progress import Best, Progress
from pipelines.training.records import StepRecord, Timing
from pipelines.training.run_lock import RunLock
from pipelines.training.step import StepOutcome
from pipelines.training.trainee import Trainee

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "previous-checkpoint.safetensors"
BEST = "best.safetensors"
SETTINGS = "settings.toml"
METRICS = "metrics.jsonl"
TIMINGS = "timings.jsonl"
CHECKPOINTS = "checkpoints"
BATCH = "batch.json"
LOSSES, LEARNING_RATES, EVALUATION = "losses.png", "learning-rates.png", "evaluation.png"
MODEL_CARD = "model-card.md"
COMMAND = ("wtn", "train")


class RunFolder:
    """The folder of one run; nothing is written before :meth:`begin`.

    Args:
        folder: Made when the run begins.
        settings: The resolved settings.
        origin: What stands in every checkpoint.
        lock: Of the folder; taken when the run begins, if it is not by then.
        source: That the run goes on from; unless it is of this very folder, the run has a history
            elsewhere, and this folder begins empty.
        command: That begins a training here, without its options.

    Attributes:
        folder: As given.
        origin: As given.
        last: The newest pair that is known to be whole, or None.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainSettings,
        origin: Origin,
        lock: RunLock,
        source: Pair | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.folder, self._settings, self.origin, self._lock = folder, settings, origin, lock
        self._command = command
        self._source, self._pairs = source, folder / CHECKPOINTS
        goes_on = source is not None and is_of(source, folder)
        self.last: Pair | None = source if goes_on else None

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return self.folder / CHECKPOINT

    def begin(self, progress: Progress) -> None:
        """Begin the run's files, or go on with them.

        Args:
            progress: How far the run has come.

        Raises:
            RunError: If another process writes them, or they cannot be written.
        """
        with self._explained():
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.take()
            if self.last is None:
                self._set_aside()
            self._sweep()
            self._cut_back(progress)
            with atomic_path(self.folder / SETTINGS) as temporary:
                temporary.write_text(self._settings.as_toml())
            if self.last is not None:
                name_newest(self.folder, self.last, progress.best)  # a kill may have come before it

    def log(self, record: StepRecord, timing: Timing) -> None:
        """Append a record to the metrics and its timing to the timings."""
        with self._explained():
            logs.append(self.folder / METRICS, asdict(record))
            logs.append(self.folder / TIMINGS, asdict(timing))

    def log_evaluation(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Append the figures of an evaluation to the metrics."""
        figures = {n: value if math.isfinite(value) else None for n, value in metrics.items()}
        record = {"iteration": iteration, "evaluation": figures}
        with self._explained():
            logs.append(self.folder / METRICS, record)

    def save(self, trainee: Trainee, progress: Progress) -> None:
        """Write the pair of this iteration, make it the newest, and let go of old ones.

        Of a pair that is there already only the state is written again, for what an evaluation of
        it has changed.

        Raises:
            RunError: If a number is not finite, or the disk is full; the pairs before it stay.
        """
        pair = Pair(self._pairs, progress.iteration)
        with self._explained():
            for name in (METRICS, TIMINGS):
                logs.sync(self.folder / name)  # they reach the disk before what vouches for them
            self._write(pair, trainee, progress)
            self.last = pair
            name_newest(self.folder, pair, progress.best)
            prune(self._pairs, self._settings.checkpoints.keep_last)

    def keep_for_replay(
        self, trainee: Trainee, progress: Progress, batch: Batch, outcome: StepOutcome
    ) -> Path:
        """Write the state before a step, and the batch that the step failed on.

        Args:
            trainee: As it was before the step.
            progress: Before the step.
            batch: That it saw.
            outcome: Of the step.

        Returns:
            A folder that ``--resume`` takes.

        Raises:
            RunError: If a weight is not finite already; the batch is written.
        """
        iteration = progress.iteration + 1
        folder = self.replay_folder(iteration)
        seen = batch_as_json(iteration, batch, outcome, self.origin.detection.ids)
        with self._explained():
            with atomic_path(folder / BATCH) as temporary:
                temporary.write_text(json.dumps(seen, indent=1))
            self._write(Pair(folder, progress.iteration), trainee, progress)
        return folder

    def replay_folder(self, iteration: int) -> Path:
        """Return the folder that :meth:`keep_for_replay` writes for a step."""
        return self.folder / f"nonfinite-{iteration:08d}"

    def how_to_go_on(self) -> str:
        """Tell which iteration a run goes on from, and with which command."""
        if self.last is None:
            return "No checkpoint was written yet, so there is nothing to go on from."
        return (
            f"{self.checkpoint} holds {self.last.iteration} iterations, and exports and evaluates "
            f"as it is. Go on with: {self.command_from(self.folder)}"
        )

    def command_from(self, place: Path, *options: str) -> str:
        """Return the command that goes on from a place."""
        return shlex.join([*self._command, "--resume", str(place), *options])

    def _write(self, pair: Pair, trainee: Trainee, progress: Progress) -> None:
        if pair != self.last:
            weights = trainee.weights(pair.iteration)
            self.origin.checkpoint(weights, pair.iteration, self._settings).save(pair.checkpoint)
        trainee.state(progress, sha256(pair.checkpoint)).save(pair.state)

    def _set_aside(self) -> None:
        """Set aside the newest checkpoint of the run that was here, and let go of the others."""
        if self.checkpoint.exists():
            self.checkpoint.replace(self.folder / PREVIOUS)
        for name in (BEST, MODEL_CARD, LOSSES, LEARNING_RATES, EVALUATION):
            (self.folder / name).unlink(missing_ok=True)
        for kept in self.folder.glob("nonfinite-*"):
            if self._source is None or kept.resolve() != self._source.folder.resolve():
                shutil.rmtree(kept)

    def _sweep(self) -> None:
        """Delete the temporary files of writes that were killed."""
        for folder in (self.folder, self._pairs, *self.folder.glob("nonfinite-*")):
            for leftover in leftovers_in(folder):
                leftover.unlink()

    def _cut_back(self, progress: Progress) -> None:
        """Drop what comes again: damaged pairs and records of later steps, an open evaluation."""
        iteration = self.last.iteration if self.last else 0
        for pair in pairs_in(self._pairs):
            if pair.iteration > iteration:
                pair.delete()
        for name in (METRICS, TIMINGS):
            logs.keep(
                self.folder / name,
                lambda record: (
                    record["iteration"] < iteration + (not progress.evaluation_is_open)
                    or (record["iteration"] == iteration and "evaluation" not in record)
                ),
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell of a disk that is full or gone, and what is left."""
        try:
            yield
        except OSError as error:
            raise RunError(
                f"the run cannot be written ({error.strerror or error})",
                where=error.filename2 or error.filename or self.folder,
                mend=f"Check the space and the rights. {self.how_to_go_on()}",
            ) from error


def is_of(pair: Pair, folder: Path) -> bool:
    """Tell whether a pair is one that the run in a folder goes on from."""
    return pair.folder.resolve() == (folder / CHECKPOINTS).resolve()


def name_newest(folder: Path, pair: Pair, best: Best | None) -> None:
    """Give a run's newest checkpoint, which may be the best too, the names that they go by."""
    put(pair.checkpoint, folder / CHECKPOINT)
    if best is not None and best.iteration == pair.iteration:
        put(pair.checkpoint, folder / BEST)
