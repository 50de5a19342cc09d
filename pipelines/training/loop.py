"""The training loop: steps, and all that happens between them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from pipelines.config import TrainSettings
from pipelines.data.batches import Batch, SkippedImage
from pipelines.devices import peak_memory_bytes
from pipelines.distributed import ALONE, Team
from pipelines.errors import (
    ArtifactError,
    DatasetError,
    Interrupted,
    LostWorkerError,
)
from pipelines.training.disk_use import disk_use
from pipelines.training.nonfinite import nonfinite_error
from pipelines.training.observer import Observer
from pipelines.training.progress import Progress
from pipelines.training.records import StepRecord, Stopwatch, Window
from pipelines.training.run_folder import RunFolder
from pipelines.training.step import StepOutcome
from pipelines.training.stopping import StopRequest
from pipelines.training.trainee import Trainee
from pipelines.training.turns import Turns

Evaluate = Callable[[], Mapping[str, float]]


class Ending(NamedTuple):
    """How a training ended.

    Args:
        losses: Means over the last window that was recorded.
        finished: Whether it took all its iterations; if not, its time was over.
        asked_to_stop: Whether it was asked to, and had taken all its iterations by then.
    """

    losses: dict[str, float]
    finished: bool
    asked_to_stop: bool = False


class TrainingLoop:
    """Takes the steps of a training that it is not through with.

    Args:
        trainee: What is trained.
        batches: Those of the remaining steps, on the device.
        folder: Where the run is kept.
        progress: How far it has come.
        settings: Of the training.
        device: Where the model is.
        stop: Asked after every step.
        observers: Hear of everything.
        evaluate: Measures the model as it is, if it is to be.
        team: The processes that share the steps, and save, stop and fail together.
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
        observers: Sequence[Observer] = (),
        evaluate: Evaluate | None = None,
        team: Team = ALONE,
    ) -> None:
        self._trainee, self._batches, self._folder = trainee, batches, folder
        self._progress, self._settings, self._device = progress, settings, device
        self._stop, self._observers, self._evaluate = stop, observers, evaluate
        self._team, self._watch, self._losses = team, Stopwatch(), dict[str, float]()
        self._named = set[str]()
        self._begun = self._saved = False

    def run(self, deadline: float = math.inf) -> Ending:
        """Take all steps, recording, evaluating and saving on the way.

        Args:
            deadline: Time of ``time.monotonic`` after which no step begins.

        Raises:
            Interrupted: If it was asked to stop, after a checkpoint; at once if asked twice.
            RunError: If a loss or a weight stops being finite, or nothing can be written: the last
                checkpoint is the better one.
            DatasetError, ArtifactError, LostWorkerError: If the data end it, after a checkpoint.
        """
        try:
            return self._take_all(deadline)
        except KeyboardInterrupt as interrupt:
            raise self._interrupted("stopped at once, in the middle of a step") from interrupt
        except (DatasetError, ArtifactError, LostWorkerError) as error:  # saved, between two steps
            if self._stop.is_made:  # by a signal that may have ended the workers too
                raise self._interrupted("stopped") from error
            mend = " ".join(filter(None, [error.mend, self._folder.how_to_go_on()]))
            raise type(error)(error.what, where=error.where, mend=mend) from error

    def _take_all(self, deadline: float) -> Ending:
        progress = self._progress
        if progress.evaluation_is_open or self._is_through:
            self._begin()  # a kill may have come in an evaluation, or right before the end
            self._evaluate_if_open()
        turns = Turns(self._watch.waiting_for(self._batches), self._stop, self._team)
        while progress.iteration < self._settings.schedule.iterations:
            turn = turns.next(deadline, may_stop=self._begun)
            if turn.error is not None and not turn.stops:
                self._save_unless_saved()  # no process has begun the step
                raise turn.error
            if turn.stops or turn.batch is None:
                break
            self._take(turn.batch, turn.skipped)
            self._tell_and_save()
            if progress.evaluation_is_open and turns.are_over(deadline):
                break
            self._evaluate_if_open()
        self._save_unless_saved()
        is_to_stop = self._is_to_stop()  # also if it was asked in the last save
        if is_to_stop and not self._is_through:
            raise self._interrupted("stopped")
        return Ending(self._losses, self._is_through, is_to_stop)

    @property
    def _is_through(self) -> bool:
        """Whether all steps are taken, and what comes after the last one is done."""
        progress = self._progress
        is_last = progress.iteration >= self._settings.schedule.iterations
        return is_last and not progress.evaluation_is_open

    def _is_to_stop(self) -> bool:
        return self._team.any(self._stop.is_made)

    def _take(self, batch: Batch, skipped: int) -> None:
        """Take a step, or leave it out if its loss is not finite.

        Args:
            batch: Of this process.
            skipped: Looks at images that do not decode, in all processes.
        """
        progress = self._progress
        self._trainee.optimizers.set_rates(progress.iteration)
        outcome = self._trainee.step(progress.iteration + 1, batch.pixels, batch.targets)
        if not self._begun:  # not before: a run that fails at once leaves nothing
            self._begin()
        if outcome.finite:
            progress.window.add(outcome.losses)
        else:
            self._leave_out(batch, outcome)
        progress.iteration += 1
        if skipped:
            self._progress.skipped_images += skipped
            self._name(batch.skipped)
        self._watch.count(len(batch.images) * self._team.size)
        self._saved = False

    def _begin(self) -> None:
        folder, trainee = self._folder, self._trainee
        folder.begin(self._progress)
        self._begun = self._saved = True  # until the next step is taken there is nothing to save
        for observer in self._observers:
            observer.begun(folder.folder, self._progress.iteration)
            observer.reckoned(
                disk_use(trainee, folder.origin.classifier, self._settings, folder.folder)
            )

    def _name(self, images: Sequence[SkippedImage]) -> None:
        """Name images that do not decode, of all processes, once each."""
        for image in (image for part in self._team.gather_objects(images) for image in part):
            if image.image_id not in self._named:
                self._named.add(image.image_id)
                for observer in self._observers:
                    observer.skipped(image)

    def _leave_out(self, batch: Batch, outcome: StepOutcome) -> None:
        """Count a step that changed nothing; raise RunError if it is one too many."""
        progress, iteration = self._progress, self._progress.iteration + 1
        if progress.skipped < self._settings.limits.skip_nonfinite:
            progress.skipped += 1
            return
        batch = Batch.joined(self._team.gather_objects(batch.to(torch.device("cpu"))))
        kept = self._folder.keep_for_replay(self._trainee, progress, batch, outcome)
        self._team.barrier()
        replay = self._folder.command_from(kept, "-o", str(kept / "replay"))
        go_on = self._folder.how_to_go_on()
        raise nonfinite_error(iteration, batch, outcome, kept, replay=replay, go_on=go_on)

    def _tell_and_save(self) -> None:
        schedule, iteration = self._settings.schedule, self._progress.iteration
        last = iteration == schedule.iterations
        if last or iteration == 1 or iteration % schedule.log_every == 0:
            self._record()
        every = self._settings.evaluation.every
        self._progress.evaluation_is_open = every is not None and (last or iteration % every == 0)
        if self._progress.evaluation_is_open or iteration % schedule.checkpoint_every == 0:
            self._save_unless_saved()  # before the evaluation, which takes long and may fail

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
        for observer in self._observers:
            observer.recorded(record, timing)

    def _evaluate_if_open(self) -> None:
        """Record the evaluation that is due, and whether it is the best so far."""
        progress, metric = self._progress, self._settings.checkpoints.keep_best
        if self._evaluate is None or not progress.evaluation_is_open:
            progress.evaluation_is_open = False  # it may have been switched off since
            return
        with self._watch.paused():
            figures = self._evaluate()
        self._folder.log_evaluation(progress.iteration, figures)
        for observer in self._observers:
            observer.evaluated(progress.iteration, figures)
        progress.note_evaluation(None if metric is None else figures[metric])
        self._saved = False
        self._save_unless_saved()

    def _save_unless_saved(self) -> None:
        if self._begun and not self._saved:
            self._trainee.step.settle()
            self._folder.save(self._trainee, self._progress)
            self._team.barrier()  # nobody ends before it is written
            self._saved = True

    def _interrupted(self, how: str) -> Interrupted:
        taken, iterations = self._progress.iteration, self._settings.schedule.iterations
        return Interrupted(
            f"{how} after {taken} of {iterations} iterations",
            where=self._folder.folder,
            mend=self._folder.how_to_go_on(),
        )
