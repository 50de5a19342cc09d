"""Stage 2: train a detector jointly with the rule that turns classifier rows into its own."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings
from pipelines.data.index import is_index, open_index
from pipelines.distributed import ALONE, Team, joined
from pipelines.errors import ConfigError
from pipelines.models.checkpoints import class_row_source
from pipelines.models.detection import build_detector
from pipelines.models.heads import build_head
from pipelines.models.losses import label_tables
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.storage import refuse_unwritable
from pipelines.training.acceleration import accelerate
from pipelines.training.checkpoints import Saved
from pipelines.training.followed_folder import FollowedFolder
from pipelines.training.inputs import TrainInputs, load_inputs, training_loader
from pipelines.training.loop import Ending, TrainingLoop
from pipelines.training.observer import Observer
from pipelines.training.optimizers import Optimizers
from pipelines.training.prefetch import on_device
from pipelines.training.progress import Progress
from pipelines.training.resuming import (
    refuse_disagreement,
    refuse_other_inputs,
    refuse_other_settings,
)
from pipelines.training.run_folder import CHECKPOINT, Origin, RunFolder, is_of
from pipelines.training.step import TrainingStep
from pipelines.training.stopping import StopRequest
from pipelines.training.trainee import Trainee

_SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class TrainReport:
    """What a training run left behind.

    Args:
        checkpoint: The detector as it is now.
        finished: Whether all iterations were taken; if not, the time was over.
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
) -> TrainReport:
    """Train, and write settings, metrics and checkpoints into a run folder.

    Processes of a team share each batch; all give the same arguments, and the leader alone writes.

    On a CPU, a training that was stopped or killed and goes on ends with the very weights and
    metrics of one that never was.

    Args:
        settings: What to train on, and how.
        output: The run folder; docs/formats.md lists what is in it.
        observers: Hear of everything that goes into the logs, and of the end; the leader's alone.
        overwrite: Replace the run that is in the folder.
        saved: What the run goes on from, as ``find_start`` gives it; None begins anew.
        team: This process among those that train together.

    Raises:
        WTNError: For inputs that are bad or do not belong together, before anything is written.
        RunError: If a loss or a weight stops being finite, or the disk is full; the last checkpoint
            stays.
        Interrupted: On Ctrl-C and SIGTERM, after the checkpoint is saved.
    """
    began = time.monotonic()
    _refuse_other_run(output, overwrite, saved)
    if saved is not None:
        refuse_other_settings(saved, settings)
    refuse_unwritable([output / CHECKPOINT])
    inputs = load_inputs(settings)
    provenance = _provenance(settings, inputs)
    if saved is not None:
        refuse_other_inputs(saved, provenance)
    origin = Origin(inputs.classifier, inputs.detection, provenance)
    kind = RunFolder if team.is_leader else FollowedFolder
    folder = kind(output, settings, origin, saved.pair if saved is not None else None)
    observers = observers if team.is_leader else ()
    with joined(team, settings.device) as device:
        refuse_disagreement(team, settings, saved, provenance)
        trainee = _trainee(settings, inputs, device, team)
        progress = trainee.restore(saved) if saved is not None else Progress()
        loader = training_loader(
            inputs, settings, progress.iteration, team, pin_memory=device.type == "cuda"
        )
        stop = StopRequest()
        loop = TrainingLoop(
            trainee,
            on_device(loader, device),
            folder,
            progress,
            settings,
            device=device,
            stop=stop,
            observers=observers,
            team=team,
        )
        with stop.by_signals():
            ending = loop.run(_deadline(settings, began))
    for observer in observers:
        observer.ended(output)
    return _report(ending, folder, progress, inputs)


def _refuse_other_run(output: Path, overwrite: bool, saved: Saved | None) -> None:
    """Refuse to replace a run unless it is the one that goes on."""
    goes_on = saved is not None and is_of(saved.pair, output)
    if (output / CHECKPOINT).exists() and not overwrite and not goes_on:
        raise ConfigError(
            "the folder holds a trained detector",
            where=output,
            mend="Go on with it with --resume auto, name another folder with --output, or replace "
            "it with --force.",
        )


def _deadline(settings: TrainSettings, began: float) -> float:
    hours = settings.limits.max_hours
    return math.inf if hours is None else began + hours * _SECONDS_AN_HOUR


def _report(
    ending: Ending, folder: RunFolder, progress: Progress, inputs: TrainInputs
) -> TrainReport:
    return TrainReport(
        folder.checkpoint,
        finished=ending.finished,
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


def _trainee(
    settings: TrainSettings, inputs: TrainInputs, device: torch.device, team: Team
) -> Trainee:
    torch.manual_seed(settings.seed)
    model = _build(settings, inputs).to(device).train()
    accelerate(model, settings.engine, device)
    fused = settings.engine.fused
    optimizers = Optimizers(model, settings.optimizer, settings.schedule, fused=fused)
    return Trainee(model, optimizers, TrainingStep(model, optimizers, settings, device, team))


def _build(settings: TrainSettings, inputs: TrainInputs) -> GeneralizedRCNN:
    source = class_row_source(
        inputs.classifier.weight, inputs.classifier.vocabulary, inputs.detection
    )
    head = build_head(settings.head, source, settings.detector.roi_width)
    tables = label_tables(inputs.detection, inputs.hierarchy)
    state = inputs.backbone.tensors if inputs.backbone else None
    return build_detector(
        settings.backbone,
        settings.detector,
        head,
        tables,
        state,
        normalize_features=settings.normalizes_features,
    )


def _provenance(settings: TrainSettings, inputs: TrainInputs) -> Provenance:
    data = settings.data
    index = open_index(data.boxes).provenance if is_index(data.boxes) else None
    parents = [parent("classifier", settings.classifier, inputs.classifier.provenance)]
    parents += [
        parent(role, path, index if role == "boxes" else None) for role, path in data.files.items()
    ]
    if inputs.backbone is not None:
        parents += [parent("backbone", path) for path in inputs.backbone.files]
    return provenance_of(*parents, images=[str(source) for source in inputs.images.sources])
