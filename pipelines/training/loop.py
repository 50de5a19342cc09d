"""The training loop: steps, and all that happens between them."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import torch

from pipelines.config import TrainSettings
from pipelines.data.batches import Batch
from pipelines.devices import peak_memory_bytes
from pipelines.errors import (
    ArtifactError,
    ConfigError,
    DatasetError,
    Interrupted,
    did_you_mean,
)
from pipelines.training.nonfinite import nonfinite_error
from pipelines.training.progress import Best, Progress
from pipelines.training.records import StepRecord, Stopwatch, Timing, Window
from pipelines.training.run_folder import RunFolder
from pipelines.training.step import StepOutcome
from pipelines.training.stopping import StopRequest
from pipelines.training.trainee import Trainee

OnRecord = Callable[[StepRecord, Timing], None]
Evaluate = Callable[[], Mapping[str, float]]


class Ending(NamedTuple):
    """How a training ended.

    Args:
        losses: Means over the last window that was recorded.
        finished: Whether it took all its iterations; if not, its time was over.
    """

    losses: dict[str, float]
    finished: bool


class TrainingLoop:
    """Takes the steps of a training that it is not through with.

    Args:
        trainee: What is trained.
        batches: Those of the remaining steps.
        folder: Where the run is kept.
        progress: How far it has come.
        settings: Of the training.
        device: Where the model is.
        stop: Asked after every step.
        on_record: Called with each record and its timing.
        evaluate: Measures the model as it is, if it is to be.
    """

    def __init__(
        self,
        trainee: Trainee,
        batches: Iterable[Batch],
        folder: RunFolder,
        progress: Progress,
        settings: TrainSettings,
        *,
        device: torch.device,
        stop: StopRequest,
        on_record: OnRecord = lambda record, timing: None,
        evaluate: Evaluate | None = None,
    ) -> None:
        self._trainee, self._batches, self._folder = trainee, batches, folder
        self._progress, self._settings, self._device = progress, settings, device
        self._stop, self._on_record, self._evaluate = stop, on_record, evaluate
        self._watch, self._losses = Stopwatch(), dict[str, float]()
        self._begun = self._saved = False

    def run(self, deadline: float = math.inf) -> Ending:
        """Take all steps, recording, evaluating and saving on the way.

        Args:
            deadline: Time of ``time.monotonic`` after which no step begins.

        Raises:
            Interrupted: If it was asked to stop, after a checkpoint; at once if asked twice.
            RunError: If a loss or a weight stops being finite, or nothing can be written: the last
                checkpoint is the better one.
            DatasetError, ArtifactError: If the data end it, after a checkpoint.
        """
        try:
            return self._take_all(deadline)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted("stopped at once, in the middle of a step") from interrupt
        except (DatasetError, ArtifactError) as error:  # between two steps
            self._save_unless_saved()
            mend = " ".join(filter(None, [error.mend, self._folder.how_to_go_on()]))
            raise type(error)(error.what, where=error.where, mend=mend) from error

    def _take_all(self, deadline: float) -> Ending:
        for batch in self._watch.waiting_for(self._batches):
            self._take(batch)
            self._tell_and_save()
            if self._stop.is_made or time.monotonic() >= deadline:
                break
        self._save_unless_saved()
        if self._stop.is_made:  # also if that was in the last save: its caller is to stop as well
            raise self._interrupted("stopped")
        finished = self._progress.iteration >= self._settings.schedule.iterations
        return Ending(self._losses, finished)

    def _take(self, batch: Batch) -> None:
        """Take a step, or leave it out if its loss is not finite."""
        progress, on_device = self._progress, batch.to(self._device)
        self._trainee.optimizers.set_rates(progress.iteration)
        outcome = self._trainee.step(progress.iteration + 1, on_device.pixels, on_device.targets)
        if not self._begun:  # not before: a run that fails at once leaves nothing
            self._folder.begin(progress.best)
            self._begun = True
        if outcome.finite:
            progress.window.add(outcome.losses)
        else:
            self._leave_out(batch, outcome)
        progress.iteration += 1
        progress.skipped_images += len(batch.skipped)
        self._watch.count(len(batch.images))
        self._saved = False

    def _leave_out(self, batch: Batch, outcome: StepOutcome) -> None:
        """Count a step that changed nothing; raise RunError if it is one too many."""
        progress, iteration = self._progress, self._progress.iteration + 1
        if progress.skipped < self._settings.limits.skip_nonfinite:
            progress.skipped += 1
            return
        kept = self._folder.keep_for_replay(self._trainee, progress, batch, outcome)
        raise nonfinite_error(iteration, batch, outcome, kept)

    def _tell_and_save(self) -> None:
        schedule, iteration = self._settings.schedule, self._progress.iteration
        last = iteration == schedule.iterations
        if last or iteration == 1 or iteration % schedule.log_every == 0:
            self._record()
        every = self._settings.evaluation.every
        is_best = False
        if self._evaluate is not None and every is not None and (last or iteration % every == 0):
            is_best = self._evaluate_now(self._evaluate)
        if is_best or iteration % schedule.checkpoint_every == 0:
            self._save_unless_saved()

    def _record(self) -> None:
        progress, iterations = self._progress, self._settings.schedule.iterations
        record = StepRecord(
            progress.iteration,
            iterations,
            progress.window.means(),
            self._trainee.optimizers.learning_rates,
            progress.skipped,
            progress.skipped_images,
        )
        timing = self._watch.read(progress.iteration, iterations, peak_memory_bytes(self._device))
        self._folder.log(record, timing)
        progress.window, self._losses = Window(), record.losses
        self._on_record(record, timing)

    def _evaluate_now(self, evaluate: Evaluate) -> bool:
        """Record an evaluation; tell whether it is the best so far."""
        progress, metric = self._progress, self._settings.checkpoints.keep_best
        figures = evaluate()
        self._folder.log_evaluation(progress.iteration, figures)
        if metric is None:
            return False
        value = _figure(figures, metric)
        if not value > (progress.best.value if progress.best else -math.inf):  # nor if it is NaN
            return False
        progress.best = Best(progress.iteration, value)
        return True

    def _save_unless_saved(self) -> None:
        if self._begun and not self._saved:
            self._folder.save(self._trainee, self._progress)
            self._saved = True

    def _interrupted(self, how: str) -> Interrupted:
        taken, iterations = self._progress.iteration, self._settings.schedule.iterations
        return Interrupted(
            f"{how} after {taken} of {iterations} iterations",
            where=self._folder.folder,
            mend=self._folder.how_to_go_on(),
        )


def _figure(figures: Mapping[str, float], metric: str) -> float:
    if metric not in figures:
        raise ConfigError(
            f"checkpoints.keep_best is {metric!r}, which no evaluation measures",
            mend=" ".join(filter(None, [did_you_mean(metric, figures), _known(figures)])),
        )
    return figures[metric]


def _known(figures: Mapping[str, float]) -> str:
    return f"There are: {', '.join(sorted(figures))}."
