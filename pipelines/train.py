"""Stage 2: train a detector jointly with the rule that turns classifier rows into its own.

Shapes: C classifier classes, d classifier width, D detection classes.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.sources import ClassifierSource, read_source
from pipelines.config import NORMALISED, TrainSettings
from pipelines.data.annotations import BoxTable
from pipelines.data.class_files import read_vocabulary
from pipelines.data.detection import DetectionDataset, TrainingLoader, TrainingSampler
from pipelines.data.images import open_images
from pipelines.data.open_images import read_boxes
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, Interrupted, MismatchError, RunError, WTNError
from pipelines.models.checkpoints import class_row_source
from pipelines.models.detection import build_detector
from pipelines.models.heads import build_head
from pipelines.models.losses import label_tables
from pipelines.provenance import Provenance, parent, provenance_of
from pipelines.training.loop import StepRecord, run_training
from pipelines.training.optimizers import Optimizers
from pipelines.training.run_folder import CHECKPOINT, RunFolder
from pipelines.vocabulary import ClassHierarchy, ClassPartition, Vocabulary


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


class _Inputs(NamedTuple):
    classifier: ClassifierWeights
    boxes: BoxTable
    detection: Vocabulary
    partition: ClassPartition
    dataset: DetectionDataset
    backbone: ClassifierSource | None


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
    device = resolve_device(settings.device)
    inputs = _load_inputs(settings)
    torch.manual_seed(settings.seed)
    model = _build(settings, inputs).to(device)
    optimizers = Optimizers(model, settings.optimizer, settings.schedule)
    steps = run_training(
        model, _loader(inputs.dataset, settings), optimizers, device, settings.schedule.log_every
    )
    folder = RunFolder(
        output, settings, inputs.classifier, inputs.detection, _provenance(settings, inputs)
    )
    losses = _follow(steps, model, folder, settings, on_record)
    return TrainReport(
        folder.checkpoint,
        iterations=settings.schedule.iterations,
        images=len(inputs.dataset),
        boxes=len(inputs.boxes),
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


def _load_inputs(settings: TrainSettings) -> _Inputs:
    classifier = ClassifierWeights.load(settings.classifier)
    boxes = read_boxes(settings.data.boxes, settings.data.box_policy)
    detection = _detection_vocabulary(settings, boxes, classifier.vocabulary)
    partition = ClassPartition.of(classifier.vocabulary, detection)
    if not partition.seen:
        raise MismatchError(
            f"none of the {len(detection)} classes with boxes is among the classifier's "
            f"{len(classifier.vocabulary)}: {detection.ids[0]!r} against "
            f"{classifier.vocabulary.ids[0]!r}",
            where=settings.classifier,
            mend="Classes are joined by id; name the rows with: wtn extract-weights --classes",
        )
    if len(classifier.vocabulary) < 2 and settings.head.method in NORMALISED:
        raise MismatchError(
            f"{settings.head.method} standardises over all classes, and there is only one",
            where=settings.classifier,
            mend="Use a classifier with more classes, or --method wtn.",
        )
    dataset = DetectionDataset(open_images(settings.data.images), boxes, detection)
    weights = settings.backbone.weights
    backbone = read_source(weights) if weights else None
    return _Inputs(classifier, boxes, detection, partition, dataset, backbone)


def _detection_vocabulary(
    settings: TrainSettings, boxes: BoxTable, classifier: Vocabulary
) -> Vocabulary:
    if settings.data.classes is not None:
        return read_vocabulary(settings.data.classes)
    ids = tuple(boxes.class_ids[label] for label in np.unique(boxes.label))
    return Vocabulary(ids, tuple(classifier.name_of.get(class_id, class_id) for class_id in ids))


def _build(settings: TrainSettings, inputs: _Inputs) -> GeneralizedRCNN:
    source = class_row_source(
        inputs.classifier.weight, inputs.classifier.vocabulary, inputs.detection
    )
    head = build_head(settings.head, source, settings.detector.roi_width)
    tables = label_tables(inputs.detection, _hierarchy(settings, inputs.detection))
    state = inputs.backbone.tensors if inputs.backbone else None
    return build_detector(settings.backbone, settings.detector, head, tables, state)


def _hierarchy(settings: TrainSettings, detection: Vocabulary) -> ClassHierarchy:
    if settings.data.hierarchy is None:
        return ClassHierarchy.flat()
    official = settings.data.hierarchy_mode == "official"
    path = settings.data.hierarchy
    hierarchy = ClassHierarchy.from_json(path, official=official)
    hierarchy.refuse_disjoint(detection.ids, path)
    return ClassHierarchy.from_json(path, detection.ids, official=official)


def _loader(dataset: DetectionDataset, settings: TrainSettings) -> TrainingLoader:
    sampler = TrainingSampler(
        len(dataset),
        batch_size=settings.schedule.batch_size,
        iterations=settings.schedule.iterations,
        flip=settings.data.horizontal_flip,
        seed=settings.seed,
    )
    return TrainingLoader(dataset, sampler, settings.data.workers)


def _provenance(settings: TrainSettings, inputs: _Inputs) -> Provenance:
    files = {
        "boxes": settings.data.boxes,
        "classes": settings.data.classes,
        "hierarchy": settings.data.hierarchy,
    }
    parents = [parent(role, path) for role, path in files.items() if path is not None]
    if inputs.backbone is not None:
        parents += [parent("backbone", path) for path in inputs.backbone.files]
    classifier = parent("classifier", settings.classifier, inputs.classifier.provenance)
    return provenance_of(classifier, *parents, images=str(settings.data.images))
