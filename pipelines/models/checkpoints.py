"""From artifacts to detectors that run, and from detectors to state dicts."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead, DetectorCheckpoint
from pipelines.config import ArchitectureSettings, TrainSettings, validate_settings
from pipelines.errors import ArtifactError, ConfigError, MismatchError
from pipelines.models.detection import build_detector
from pipelines.models.detector_folder import read_folder
from pipelines.models.heads import ClassRowSource, ClassWeightHead, FixedHead, build_head
from pipelines.models.losses import LabelTables
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD
from pipelines.provenance import sha256
from pipelines.vocabulary import Vocabulary

NO_TABLES = LabelTables(*(torch.empty(0) for _ in LabelTables._fields))  # only training needs them


def class_row_source(rows: Tensor, classifier: Vocabulary, detection: Vocabulary) -> ClassRowSource:
    """Join the classifier's rows ``[C, d]`` and the D detection classes by id."""
    shared = [class_id in classifier for class_id in detection.ids]
    seen = [place for place, is_shared in enumerate(shared) if is_shared]
    other = [place for place, is_shared in enumerate(shared) if not is_shared]
    seen_rows = classifier.rows(detection.ids[place] for place in seen)
    return ClassRowSource(
        rows, *(torch.tensor(part, dtype=torch.int64) for part in (seen_rows, seen, other))
    )


def restore_class_head(checkpoint: DetectorCheckpoint) -> ClassWeightHead:
    """Return the trained class head of a checkpoint, in evaluation mode."""
    settings = settings_of(checkpoint)
    classifier = checkpoint.classifier
    source = class_row_source(classifier.weight, classifier.vocabulary, checkpoint.detection)
    head = build_head(settings.head, source, settings.detector.roi_width)
    state = {
        name.removeprefix(CLASS_HEAD): tensor
        for name, tensor in checkpoint.model.items()
        if name.startswith(CLASS_HEAD)
    }
    _load(head, state)
    return head.eval()


def load_detector(checkpoint: Path, head: DetectionHead) -> GeneralizedRCNN:
    """Return the plain detector of a head, or of some of its classes, in evaluation mode.

    Args:
        checkpoint: That the head was made from, or a detector's folder with the head in it.
        head: As :func:`pipelines.models.offline.load_head` gives it; all its classes, or some.

    Raises:
        MismatchError: If the head is another checkpoint's.
        ArtifactError: If a file is bad.
    """
    if checkpoint.is_dir():
        found = read_folder(checkpoint)
        return plain_detector(found.settings, head, found.state)
    return restore_detector(load_checkpoint_of(head, checkpoint), head)


def load_checkpoint_of(head: DetectionHead, checkpoint: Path) -> DetectorCheckpoint:
    """Read the checkpoint that a head was made from.

    Args:
        head: Exported from this very checkpoint, or computed in memory; all its classes, or some.
        checkpoint: Made by training.

    Raises:
        MismatchError: If the head is another checkpoint's.
        ArtifactError: If the checkpoint is bad.
    """
    loaded = DetectorCheckpoint.load(checkpoint)
    digest = sha256(checkpoint)
    if head.checkpoint_sha256 != digest:
        raise MismatchError(
            "the head was exported from another checkpoint (SHA-256 "
            f"{head.checkpoint_sha256[:12]}, not {digest[:12]})",
            where=checkpoint,
            mend=_mend_of_foreign_head(checkpoint, str(loaded.config["head"]["method"])),
        )
    return loaded


def restore_detector(checkpoint: DetectorCheckpoint, head: DetectionHead) -> GeneralizedRCNN:
    """Return the plain detector of an exported head, in evaluation mode."""
    return plain_detector(settings_of(checkpoint).architecture, head, checkpoint.model)


def plain_detector(
    architecture: ArchitectureSettings, head: DetectionHead, state: Mapping[str, Tensor]
) -> GeneralizedRCNN:
    """Return a detector with a fixed head, in evaluation mode.

    Args:
        architecture: What it is built from.
        head: Its rows and its box layer.
        state: Of the detector; its own class head and box layer are left out.

    Raises:
        ArtifactError: If the state does not fit the architecture.
    """
    model = build_detector(
        architecture.backbone,
        architecture.detector,
        FixedHead(head.weight, head.bias, head.projection),
        NO_TABLES,
        normalize_features=architecture.normalizes_features,
    )
    kept = {n: t for n, t in state.items() if not n.startswith((CLASS_HEAD, BOX_LAYER))}
    kept |= {f"{CLASS_HEAD}weight": head.weight, f"{CLASS_HEAD}bias": head.bias}
    if head.projection is not None:
        kept[f"{CLASS_HEAD}projection"] = head.projection
    kept |= {f"{BOX_LAYER}weight": head.box_weight, f"{BOX_LAYER}bias": head.box_bias}
    _load(model, kept)
    return model.eval()


def settings_of(checkpoint: DetectorCheckpoint) -> TrainSettings:
    """Return the settings that a checkpoint was trained with.

    Raises:
        ArtifactError: If they are not valid.
    """
    try:
        return validate_settings(checkpoint.config)
    except ConfigError as error:
        raise ArtifactError(
            f"the checkpoint's settings are not valid: {error.what}",
            where=checkpoint.path,
            mend=error.mend,
        ) from error


def _mend_of_foreign_head(checkpoint: Path, method: str) -> str:
    if method == "zsd":
        return (
            "No head file serves zsd, which normalises the features; wtn evaluate and wtn predict "
            "take the checkpoint as it is, without --head."
        )
    return f"Export one from it: wtn export-head {checkpoint} -o head.safetensors"


def _load(module: torch.nn.Module, state: dict[str, Tensor]) -> None:
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        raise ArtifactError(
            f"the checkpoint does not fit the detector that its settings describe: {error}"
        ) from error
