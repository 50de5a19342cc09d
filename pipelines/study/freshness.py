"""Whether what an earlier run left behind belongs to these settings and these files.

Files count by their contents, wherever they are, so a folder may be moved or copied. Images to
train on are taken to be those of their boxes, since they may be half a terabyte: of them only the
names of their folders and archives count.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipelines import provenance
from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.classifiers.torchvision import SCHEME
from pipelines.config import TrainSettings, validate_settings
from pipelines.config.comparison import differences, flat
from pipelines.errors import ConfigError

_FILE = "a file"  # in place of its path, where its contents are compared
_CHOSEN = "schedule.iterations"  # by the user; in a study, other settings follow from it


def other_settings(found: Mapping[str, Any], settings: TrainSettings) -> list[str]:
    """Return what differs between stored settings and these, in words; not the device.

    Args:
        found: Of an earlier run, as JSON values.
        settings: Of the training.
    """
    try:
        stored = validate_settings(dict(found) | {"device": settings.device})
    except ConfigError as error:
        return [f"its settings are not known here: {error.what}"]
    return differences(_comparable(stored), _comparable(settings), first=_CHOSEN)


def other_inputs(
    checkpoint: DetectorCheckpoint, settings: TrainSettings, classifier: ClassifierWeights
) -> list[str]:
    """Return which files of the settings a checkpoint was not trained on, in words.

    Args:
        checkpoint: Of an earlier run.
        settings: Of the training.
        classifier: What it would learn from.

    Raises:
        OSError: If a file cannot be read.
    """
    used = {p["role"]: p["sha256"] for p in checkpoint.provenance.get("parents", ())}
    files = {role: path for (role, _), path in _input_files(settings).items()}
    others = [] if _alike(checkpoint.classifier, classifier) else [settings.classifier]
    others += [path for role, path in files.items() if used.get(role) != sha256(path)]
    return [f"{path} is not what it was trained on" for path in others]


def _alike(one: ClassifierWeights, other: ClassifierWeights) -> bool:
    """Tell whether two classifiers have the same classes and rows.

    Rows that a study makes are computed again each time, and processors round differently.
    """
    same_classes = one.vocabulary.ids == other.vocabulary.ids
    return (
        same_classes
        and one.weight.shape == other.weight.shape
        and torch.allclose(one.weight, other.weight, rtol=1e-5, atol=1e-8)
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


def _input_files(settings: TrainSettings) -> dict[tuple[str, str], Path]:
    """Return the files of the settings, but for the classifier's, by role in a record and key."""
    weights = settings.backbone.weights
    files = {(role, f"data.{role}"): path for role, path in settings.data.files.items()}
    if weights and not weights.startswith(SCHEME):
        files["backbone", "backbone.weights"] = Path(weights)
    return files


def _comparable(settings: TrainSettings) -> dict[str, Any]:
    """Return settings by ``key.path``, without the places of files."""
    named = {key: _FILE for _, key in _input_files(settings)}
    images = ", ".join(path.name for path in settings.data.images) or None
    return flat(settings.model_dump()) | named | {"classifier": _FILE, "data.images": images}
