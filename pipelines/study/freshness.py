"""Whether what an earlier run left behind belongs to these settings and these files.

Paths are compared resolved, files by their contents. Images to train on are taken to be those of
their boxes: they may be half a terabyte.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipelines import provenance
from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ConfigError


def same_settings(found: Mapping[str, Any], settings: TrainSettings) -> bool:
    """Tell whether stored settings are these ones, on whatever device they were used."""
    try:
        stored = validate_settings(dict(found) | {"device": settings.device})
    except ConfigError:  # of a version that knew other settings
        return False
    same: bool = _resolved(stored.model_dump()) == _resolved(settings.model_dump())
    return same


def same_inputs(
    checkpoint: DetectorCheckpoint, settings: TrainSettings, classifier: ClassifierWeights
) -> bool:
    """Tell whether a checkpoint was trained on what is now in the files of the settings.

    Args:
        checkpoint: Of an earlier run.
        settings: Of the training.
        classifier: What it would learn from.

    Raises:
        OSError: If a file cannot be read.
    """
    used = {p["role"]: p["sha256"] for p in checkpoint.provenance.get("parents", ())}
    return (
        checkpoint.classifier.vocabulary.ids == classifier.vocabulary.ids
        and torch.equal(checkpoint.classifier.weight, classifier.weight)
        and all(used.get(role) == sha256(path) for role, path in _input_files(settings).items())
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, read again only if its size or time of change is another."""
    status = path.stat()
    return _sha256(path.resolve(), status.st_size, status.st_mtime_ns)


def files_sha256(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of those paths that are files."""
    return [sha256(path) for path in paths if path.is_file()]


@cache
def _sha256(path: Path, size: int, changed: int) -> str:
    return provenance.sha256(path)


def _input_files(settings: TrainSettings) -> dict[str, Path]:
    """Return the files of the settings by their roles in a checkpoint, but for the classifier's."""
    data, weights = settings.data, settings.backbone.weights
    network = Path(weights) if weights and Path(weights).is_file() else None
    files = {
        "boxes": data.boxes,
        "classes": data.classes,
        "hierarchy": data.hierarchy,
        "backbone": network,
    }
    return {role: path for role, path in files.items() if path is not None}


def _resolved(value: Any) -> Any:  # noqa: ANN401 - a tree of settings
    """Replace the paths in a tree of settings, and text that names a file, by resolved ones."""
    if isinstance(value, Mapping):
        return {key: _resolved(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_resolved(item) for item in value]
    if isinstance(value, Path) or (isinstance(value, str) and Path(value).is_file()):
        return Path(value).resolve()
    return value
