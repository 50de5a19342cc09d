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
from pipelines.storage import FORMAT_VERSION, expect_finite, expect_shape, opened, required_tensor
from pipelines.vocabulary import CLASS_GROUPS, Vocabulary

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
        bad = _bad_class(rows)
        vocabulary = Vocabulary(tuple(r["id"] for r in rows), tuple(r["name"] for r in rows))
        groups, method = tuple(row["group"] for row in rows), str(config["method"])
    except (KeyError, TypeError, ValidationError, DatasetError) as error:
        raise ArtifactError(
            f"its {CONFIG} or {CLASSES} was changed by hand, or is of another version: {error}",
            where=folder,
            mend="Export the detector again.",
        ) from error
    if bad is not None:
        raise ArtifactError(bad, where=folder / CLASSES, mend="Export the detector again.")
    weights = folder / WEIGHTS
    with opened(weights) as file:
        state = from_torchvision({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - not a mapping
    for name, tensor in state.items():
        expect_finite(weights, name, tensor)
    rows = required_tensor(weights, state, f"{CLASS_HEAD}weight")
    expect_shape(weights, f"{CLASS_HEAD}weight", rows, (len(vocabulary), None))
    shapes = {
        f"{CLASS_HEAD}weight": rows.shape,
        f"{CLASS_HEAD}bias": (len(vocabulary),),
        f"{BOX_LAYER}weight": (4, rows.shape[1]),
        f"{BOX_LAYER}bias": (4,),
    }
    for name, shape in shapes.items():
        expect_shape(weights, name, required_tensor(weights, state, name), tuple(shape))
    weight, bias, box_weight, box_bias = (state[name] for name in shapes)
    provenance = config.get("provenance", {})
    head = DetectionHead(weight, bias, box_weight, box_bias, vocabulary, groups, provenance)
    return DetectorFolder(settings, head, method, state)


def _bad_class(rows: list[dict[str, Any]]) -> str | None:
    """Return what is wrong with the first class that is not as it was written, or None."""
    for place, row in enumerate(rows):
        if row["index"] != place:
            return f"class {row['id']!r} has index {row['index']} and stands in place {place}"
        if not isinstance(row["id"], str) or not isinstance(row["name"], str):
            return f"the id and name of class {place} are not text"
        if row["group"] not in CLASS_GROUPS:
            return f"class {row['id']!r} is of no group that there is: {row['group']!r}"
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        weights = sorted(file.name for file in path.parent.glob("*.safetensors"))
        files = [name for name in weights if name != WEIGHTS]
        mend = f"In the folder is {files[0]}." if files else _MADE_BY
        raise ArtifactError("no such file", where=path, mend=mend) from error
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
