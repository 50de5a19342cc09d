"""Whether what an earlier run left behind belongs to these settings and these files.

Files count by their contents, wherever they are, so a folder may be moved or copied. Images to
train on are taken to be those of their boxes, since they may be half a terabyte: of them only the
names of their archives count.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

from pipelines import provenance
from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.classifiers.torchvision import SCHEME
from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ConfigError

_SHOWN = 3  # differences in one message
_FILE = "a file"  # in place of its path, where its contents are compared


def other_settings(found: Mapping[str, Any], settings: TrainSettings) -> list[str]:
    """Return what differs between stored settings and these, in words; not the device.

    Args:
        found: Of an earlier run, as JSON values.
        settings: Of the training.
    """
    try:
        stored = validate_settings(dict(found) | {"device": settings.device})
    except ConfigError as error:
        return [f"another version made its settings ({error.what})"]
    there, now = _comparable(stored), _comparable(settings)
    return [
        f"{key} is {_text(there.get(key))} there, {_text(now.get(key))} now"
        for key in there | now
        if there.get(key) != now.get(key)
    ]


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
    same_classifier = checkpoint.classifier.vocabulary.ids == classifier.vocabulary.ids and (
        torch.equal(checkpoint.classifier.weight, classifier.weight)
    )
    others = [] if same_classifier else [settings.classifier]
    others += [p for role, p in _input_files(settings).items() if used.get(role) != sha256(p)]
    return [f"{path} has other contents" for path in others]


def first_of(differences: Sequence[str]) -> str:
    """Return the first differences, and how many more there are."""
    more = len(differences) - _SHOWN
    return "; ".join([*differences[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])


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
    files = {
        "boxes": data.boxes,
        "classes": data.classes,
        "hierarchy": data.hierarchy,
        "backbone": Path(weights) if weights and not weights.startswith(SCHEME) else None,
    }
    return {role: path for role, path in files.items() if path is not None}


def _comparable(settings: TrainSettings) -> dict[str, Any]:
    """Return settings by ``key.path``, without the places of files."""
    files = dict.fromkeys(_input_files(settings), _FILE)
    keys = {"boxes": "data.boxes", "classes": "data.classes", "hierarchy": "data.hierarchy"}
    named = {keys.get(role, "backbone.weights"): file for role, file in files.items()}
    images = tuple(path.name for path in settings.data.images)
    return _flat(settings.model_dump()) | named | {"classifier": _FILE, "data.images": images}


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        nested = isinstance(value, Mapping)
        flat |= _flat(value, f"{prefix}{key}.") if nested else {f"{prefix}{key}": value}
    return flat


def _text(value: object) -> str:
    return "unset" if value is None else str(value)
