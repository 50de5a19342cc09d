"""All that comes before the first step of a training, and what is refused there."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch

from pipelines.config import TrainSettings
from pipelines.data.batches import Batch
from pipelines.data.index import is_index, open_index
from pipelines.data.sequential_order import SequentialOrder
from pipelines.distributed import Team
from pipelines.errors import ConfigError
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.storage import refuse_unwritable
from pipelines.training.acceleration import accelerate
from pipelines.training.checkpoints import Saved, pairs_in
from pipelines.training.image_order import image_order
from pipelines.training.inputs import TrainInputs, load_inputs, training_loader
from pipelines.training.model import build_model
from pipelines.training.optimizers import Optimizers
from pipelines.training.prefetch import on_device
from pipelines.training.progress import Progress
from pipelines.training.resuming import refuse_later
from pipelines.training.run_folder import CHECKPOINT, CHECKPOINTS, is_of
from pipelines.training.same_training import (
    judges_otherwise,
    refuse_other_inputs,
    refuse_other_settings,
)
from pipelines.training.step import TrainingStep
from pipelines.training.trainee import Trainee


class Ready(NamedTuple):
    """A training before its first step, or before the next one.

    Args:
        trainee: The detector, and all that changes with it.
        progress: How far it has come.
        batches: Of the steps that are left, on the device.
    """

    trainee: Trainee
    progress: Progress
    batches: Iterable[Batch]


def read_inputs(
    settings: TrainSettings, output: Path, *, overwrite: bool, saved: Saved | None
) -> tuple[TrainInputs, Provenance]:
    """Read what a training starts from; nothing is written.

    Args:
        settings: What to train on, and how.
        output: The run folder.
        overwrite: Whether the run that is in it may be replaced.
        saved: What the run goes on from, or None.

    Raises:
        WTNError: For inputs that are bad or do not belong together, and for a folder that cannot
            be written or holds another run.
    """
    _refuse_other_run(output, overwrite, saved)
    if saved is not None:
        refuse_other_settings(saved, settings)
    refuse_unwritable([output / CHECKPOINT])
    inputs = load_inputs(settings)
    provenance = _provenance(settings, inputs)
    if saved is not None:
        refuse_other_inputs(saved, provenance)
    return inputs, provenance


def set_up(
    settings: TrainSettings,
    inputs: TrainInputs,
    saved: Saved | None,
    device: torch.device,
    team: Team,
    output: Path,
) -> Ready:
    """Build the detector, as it was where the run goes on, and let the batches come.

    Args:
        settings: What to train on, and how.
        inputs: What was read.
        saved: What the run goes on from, or None; its tensors are let go once they are put back.
        device: Of this process.
        team: The processes that share each batch.
        output: The run folder.
    """
    trainee = _trainee(settings, inputs, device, team)
    progress = trainee.restore(saved) if saved is not None else Progress()
    if saved is not None:
        saved.let_go()
    if saved is not None and (judges_otherwise(saved, settings) or not is_of(saved.pair, output)):
        progress.best = None  # whose file is elsewhere, or says nothing here
    pinned = device.type == "cuda"
    loader = training_loader(inputs, settings, progress.iteration, team, pin_memory=pinned)
    return Ready(trainee, progress, on_device(loader, device))


def _refuse_other_run(output: Path, overwrite: bool, saved: Saved | None) -> None:
    """Refuse to replace a run unless it is the one that goes on."""
    if saved is not None and is_of(saved.pair, output):
        refuse_later(saved.pair)
    elif (output / CHECKPOINT).exists() and not overwrite:
        goes_on = any(pair.state.exists() for pair in pairs_in(output / CHECKPOINTS))
        ways = ["go on with it with --resume auto"] * goes_on
        ways += ["name another folder with --output", "replace it with --force"]
        raise ConfigError(
            "the folder holds a trained detector",
            where=output,
            mend=f"{', '.join(ways[:-1]).capitalize()}, or {ways[-1]}.",
        )


def _trainee(
    settings: TrainSettings, inputs: TrainInputs, device: torch.device, team: Team
) -> Trainee:
    torch.manual_seed(settings.seed)
    model = build_model(settings, inputs).to(device).train()
    accelerate(model, settings.engine, device)
    fused = settings.engine.fused
    optimizers = Optimizers(model, settings.optimizer, settings.schedule, fused=fused)
    return Trainee(model, optimizers, TrainingStep(model, optimizers, settings, device, team))


def _provenance(settings: TrainSettings, inputs: TrainInputs) -> Provenance:
    data = settings.data
    index = open_index(data.boxes).provenance if is_index(data.boxes) else None
    parents = [parent("classifier", settings.classifier, inputs.classifier.provenance)]
    parents += [
        parent(role, path, index if role == "boxes" else None) for role, path in data.files.items()
    ]
    if inputs.backbone is not None:
        parents += [parent("backbone", path) for path in inputs.backbone.files]
    sources = [str(source) for source in inputs.images.sources]
    groups = None if inputs.groups is None else hashlib.sha256(inputs.groups.tobytes()).hexdigest()
    return provenance_of(*parents, images=sources, image_groups=groups, **_layout(settings, inputs))


def _layout(settings: TrainSettings, inputs: TrainInputs) -> dict[str, str]:
    """Return a hash of how the images lie in their archives, if their order depends on it."""
    if settings.data.sampler != "sequential":
        return {}
    order = image_order(inputs.dataset, inputs.images, settings.data)
    assert isinstance(order, SequentialOrder)  # which is what the sampler is called by
    return {"image_order": order.sha256()}
