"""Stage 2: train a detector jointly with the rule that turns classifier rows into its own."""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipelines.config import TrainSettings
from pipelines.distributed import ALONE, Team, joined
from pipelines.metrics.periodic_evaluation import PeriodicEvaluation
from pipelines.training.checkpoints import Saved
from pipelines.training.followed_folder import FollowedFolder
from pipelines.training.inputs import TrainInputs
from pipelines.training.loop import Ending, TrainingLoop
from pipelines.training.observer import Observer
from pipelines.training.origin import Origin
from pipelines.training.preparation import read_inputs, set_up
from pipelines.training.progress import Progress
from pipelines.training.run_folder import COMMAND, RunFolder
from pipelines.training.run_lock import RunLock
from pipelines.training.same_training import refuse_disagreement
from pipelines.training.stopping import StopRequest

_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class TrainReport:
    """What a training run left behind.

    Args:
        checkpoint: The detector as it is now.
        finished: Whether all iterations were taken; if not, the time was over.
        asked_to_stop: Whether it was to stop, though it is finished: its caller may want to.
        go_on: With which command it goes on, or None if it is finished.
        iterations: Steps taken, those of earlier sessions and those left out among them.
        skipped: Steps left out, because a loss was not finite.
        skipped_images: Looks at images that do not decode; others took their places.
        images: Images with boxes.
        boxes: Boxes trained on.
        seen: Number of classes with boxes and a classifier row.
        other: Number of classes with boxes only.
        novel: Number of classes with a classifier row only.
        losses: Means over the last window that was recorded.
    """

    checkpoint: Path
    finished: bool
    asked_to_stop: bool
    go_on: str | None
    iterations: int
    skipped: int
    skipped_images: int
    images: int
    boxes: int
    seen: int
    other: int
    novel: int
    losses: dict[str, float]


def train_detector(
    settings: TrainSettings,
    output: Path,
    observers: Sequence[Observer] = (),
    *,
    overwrite: bool = False,
    saved: Saved | None = None,
    team: Team = ALONE,
    command: Sequence[str] = COMMAND,
) -> TrainReport:
    """Train, and write settings, metrics and checkpoints into a run folder.

    Processes of a team share each batch; all give the same arguments, and the leader alone writes.

    On a CPU, a training that was stopped or killed and goes on, with as many processes, ends with
    the very weights and metrics of one that never was.

    Args:
        settings: What to train on, and how.
        output: The run folder; docs/formats.md lists what is in it.
        observers: Hear of everything that goes into the logs, and of the end; the leader's alone.
        overwrite: Replace the run that is in the folder.
        saved: What the run goes on from, as ``find_start`` gives it; None begins anew. Its tensors
            are let go once they are put back.
        team: This process among those that train together.
        command: That begins a training like this one, for messages that tell how to go on.

    Raises:
        WTNError: For inputs that are bad or do not belong together, before anything is written.
        RunError: If a loss or a weight stops being finite, or the disk is full; the last checkpoint
            stays. If another process trains in the folder.
        Interrupted: On Ctrl-C and SIGTERM, after the checkpoint is saved; not if that comes with
            the last step.
    """
    began = time.monotonic()
    lock = RunLock(output)
    with lock if team.is_leader else nullcontext():
        inputs, provenance = read_inputs(settings, output, overwrite=overwrite, saved=saved)
        measure = PeriodicEvaluation.wanted(settings, inputs.classifier, inputs.detection, team)
        origin = Origin(inputs.classifier, inputs.detection, provenance)
        kind = RunFolder if team.is_leader else FollowedFolder
        source = saved.pair if saved is not None else None
        folder = kind(output, settings, origin, lock, source, command)
        observers = observers if team.is_leader else ()
        with joined(team, settings.device) as device:
            refuse_disagreement(team, settings, saved, provenance)
            trainee, progress, batches = set_up(settings, inputs, saved, device, team, output)
            stop = StopRequest()
            loop = TrainingLoop(
                trainee,
                batches,
                folder,
                progress,
                settings,
                device=device,
                stop=stop,
                observers=observers,
                evaluate=None if measure is None else partial(measure, trainee.model),
                team=team,
            )
            with stop.by_signals():
                ending = loop.run(_deadline(settings, began))
        for observer in observers:
            observer.ended(output)
    return _report(ending, folder, progress, inputs)


def _deadline(settings: TrainSettings, began: float) -> float:
    hours = settings.limits.max_hours
    return math.inf if hours is None else began + hours * _SECONDS_AN_HOUR


def _report(
    ending: Ending, folder: RunFolder, progress: Progress, inputs: TrainInputs
) -> TrainReport:
    return TrainReport(
        folder.checkpoint,
        finished=ending.finished,
        asked_to_stop=ending.asked_to_stop,
        go_on=None if ending.finished else folder.how_to_go_on(),
        iterations=progress.iteration,
        skipped=progress.skipped,
        skipped_images=progress.skipped_images,
        images=len(inputs.dataset),
        boxes=len(inputs.split.boxes),
        seen=len(inputs.partition.seen),
        other=len(inputs.partition.other),
        novel=len(inputs.partition.novel),
        losses=ending.losses,
    )
