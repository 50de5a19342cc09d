"""Stage 2: train a detector jointly with the rule that turns classifier rows into its own."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings
from pipelines.data.index import is_index, open_index
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, Interrupted, RunError, WTNError
from pipelines.models.checkpoints import class_row_source
from pipelines.models.detection import build_detector
from pipelines.models.heads import build_head
from pipelines.models.losses import label_tables
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.storage import refuse_unwritable
from pipelines.training.acceleration import accelerate
from pipelines.training.inputs import TrainInputs, load_inputs, training_loader
from pipelines.training.loop import StepRecord, run_training
from pipelines.training.optimizers import Optimizers
from pipelines.training.run_folder import CHECKPOINT, RunFolder


@dataclass(frozen=True)
class TrainReport:
    """What a training run left behind.

    Args:
        checkpoint: The trained detector.
        iterations: Steps taken.
        images: Images with boxes.
        boxes: Boxes trained on.
        seen: Number of classes with boxes and a classifier row.
        other: Number of classes with boxes only.
        novel: Number of classes with a classifier row only.
        losses: Means over the last window.
    """

    checkpoint: Path
    iterations: int
    images: int
    boxes: int
    seen: int
    other: int
    novel: int
    losses: dict[str, float]


def train_detector(
    settings: TrainSettings,
    output: Path,
    on_record: Callable[[StepRecord], None] = lambda record: None,
    *,
    overwrite: bool = False,
) -> TrainReport:
    """Train, and write settings, metrics and checkpoints into a run folder.

    Args:
        settings: What to train on, and how.
        output: The run folder: ``settings.toml``, ``metrics.jsonl`` and
            ``checkpoint.safetensors``, which is replaced as a whole each time.
        on_record: Called with each record that goes into ``metrics.jsonl``.
        overwrite: Replace the run that is in the folder.

    Raises:
        WTNError: For inputs that are bad or do not belong together, before anything is written.
        RunError: If a loss or a weight stops being finite; the last checkpoint stays.
        Interrupted: On Ctrl-C, after the checkpoint is saved.
    """
    if (output / CHECKPOINT).exists() and not overwrite:
        raise ConfigError(
            "the folder holds a trained detector",
            where=output,
            mend="Name another folder with --output, or replace it with --force.",
        )
    refuse_unwritable([output / CHECKPOINT])
    device = resolve_device(settings.device)
    inputs = load_inputs(settings)
    torch.manual_seed(settings.seed)
    model = _build(settings, inputs).to(device)
    accelerate(model, settings.engine, device)
    optimizers = Optimizers(
        model, settings.optimizer, settings.schedule, fused=settings.engine.fused
    )
    steps = run_training(
        model, training_loader(inputs, settings), optimizers, device, settings.schedule.log_every
    )
    folder = RunFolder(
        output, settings, inputs.classifier, inputs.detection, _provenance(settings, inputs)
    )
    losses = _follow(steps, model, folder, settings, on_record)
    return TrainReport(
        folder.checkpoint,
        iterations=settings.schedule.iterations,
        images=len(inputs.dataset),
        boxes=len(inputs.split.boxes),
        seen=len(inputs.partition.seen),
        other=len(inputs.partition.other),
        novel=len(inputs.partition.novel),
        losses=losses,
    )


def _follow(
    steps: Iterator[tuple[int, StepRecord | None]],
    model: GeneralizedRCNN,
    folder: RunFolder,
    settings: TrainSettings,
    on_record: Callable[[StepRecord], None],
) -> dict[str, float]:
    """Take all steps, logging and saving on the way; return the last window's losses."""
    taken, losses = 0, {}
    try:
        for taken, record in steps:
            if taken == 1:
                folder.start()  # not before: a run that fails at once leaves nothing
            if record is not None:
                losses = record.losses
                folder.log(record)
                on_record(record)
            if taken % settings.schedule.checkpoint_every == 0:
                _save(folder, model, taken)
        _save(folder, model, taken)
    except KeyboardInterrupt as interrupt:
        saved = _save_early(folder, model, taken)
        stopped = f"stopped after {taken} of {settings.schedule.iterations} iterations"
        raise Interrupted(stopped, where=folder.checkpoint.parent, mend=saved) from interrupt
    except RunError:
        raise  # it has diverged: the last checkpoint is the better one
    except WTNError as error:
        saved = _save_early(folder, model, taken)
        mend = " ".join(filter(None, [error.mend, saved]))
        raise type(error)(error.what, where=error.where, mend=mend) from error
    return losses


def _save_early(folder: RunFolder, model: GeneralizedRCNN, taken: int) -> str:
    """Save what there is before training ends for another reason; return what to tell the user."""
    if taken == 0:
        return "Nothing was trained, so no checkpoint was written."
    _save(folder, model, taken)
    return f"{folder.checkpoint} holds {taken} iterations: it exports and evaluates as it is."


def _save(folder: RunFolder, model: GeneralizedRCNN, taken: int) -> None:
    """Replace the checkpoint, unless with one that nobody could use."""
    state = model.state_dict()
    bad = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise RunError(
            f"{bad[0]} is not finite after iteration {taken} ({len(bad)} of {len(state)} tensors)",
            where=folder.checkpoint,
            mend="Nothing was saved. Lower optimizer.learning_rate.",
        )
    folder.save(state, taken)


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
