"""The folder that holds a whole detector, made by ``wtn export --format directory``."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from pipelines.artifacts import DetectionHead
from pipelines.config import ArchitectureSettings
from pipelines.errors import ArtifactError, DatasetError
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD, from_torchvision
from pipelines.storage import FORMAT_VERSION, opened, required_tensor
from pipelines.vocabulary import Vocabulary

FORMAT = "wtn.detector"
CONFIG, CLASSES, WEIGHTS = "config.json", "classes.json", "model.safetensors"
_MADE_BY = "A detector folder is made by: wtn export CHECKPOINT --format directory"


@dataclass(frozen=True)
class DetectorFolder:
    """What a folder holds.

    Args:
        settings: What the detector is built from.
        head: Its rows, classes and groups.
        method: The rule that made the rows.
        state: The tensors of the detector, by our names.
    """

    settings: ArchitectureSettings
    head: DetectionHead
    method: str
    state: Mapping[str, Tensor]


def read_folder(folder: Path) -> DetectorFolder:
    """Read a detector's folder.

    Raises:
        ArtifactError: If a file is missing or bad, or the files do not fit each other.
    """
    config, classes = _read_json(folder / CONFIG), _read_json(folder / CLASSES)
    _expect_format(folder / CONFIG, config)
    try:
        settings = ArchitectureSettings.model_validate(config["settings"])
        rows = classes["classes"]
        vocabulary = Vocabulary(tuple(r["id"] for r in rows), tuple(r["name"] for r in rows))
        groups, method = tuple(row["group"] for row in rows), str(config["method"])
    except (KeyError, TypeError, ValidationError, DatasetError) as error:
        raise ArtifactError(
            f"its {CONFIG} or {CLASSES} was changed by hand, or is of another version: {error}",
            where=folder,
            mend="Export the detector again.",
        ) from error
    weights = folder / WEIGHTS
    with opened(weights) as file:
        state = from_torchvision({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a mapping
    head = DetectionHead(
        weight=required_tensor(weights, state, f"{CLASS_HEAD}weight"),
        bias=required_tensor(weights, state, f"{CLASS_HEAD}bias"),
        box_weight=required_tensor(weights, state, f"{BOX_LAYER}weight"),
        box_bias=required_tensor(weights, state, f"{BOX_LAYER}bias"),
        vocabulary=vocabulary,
        groups=groups,
        provenance=config.get("provenance", {}),
    )
    return DetectorFolder(settings, head, method, state)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            "no such file",
            where=path,
            mend=_MADE_BY,
        ) from error
    except ValueError as error:  # not JSON, or not UTF-8
        raise ArtifactError(f"not JSON ({error})", where=path, mend="Export it again.") from error
    if not isinstance(value, dict):
        raise ArtifactError("not a JSON object", where=path, mend="Export it again.")
    return value


def _expect_format(path: Path, config: dict[str, Any]) -> None:
    found = config.get("format"), config.get("format_version")
    if found != (FORMAT, FORMAT_VERSION):
        raise ArtifactError(
            f"expected {FORMAT} version {FORMAT_VERSION}, found {found[0]} version {found[1]}",
            where=path,
            mend=_MADE_BY,
        )
