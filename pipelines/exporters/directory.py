"""The canonical folder: one file a concern, each of a kind that any tool can read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from pipelines.artifacts import DetectionHead
from pipelines.config import ArchitectureSettings
from pipelines.errors import ArtifactError, MismatchError
from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import (
    CLASSES,
    CONFIG,
    PREPROCESSING,
    classes_record,
    config_record,
    preprocessing_record,
    write_json,
)
from pipelines.exporters.model_card import model_card
from pipelines.exporters.running import compare_on_images
from pipelines.exporters.state import from_torchvision, to_torchvision
from pipelines.models.checkpoints import BOX_LAYER, CLASS_HEAD, plain_detector
from pipelines.storage import FORMAT_VERSION, opened, required_tensor
from pipelines.vocabulary import Vocabulary

FORMAT = "wtn.detector"
WEIGHTS, CARD = "model.safetensors", "README.md"


def write(source: PlainDetector, folder: Path) -> None:
    """Write config, weights, classes, preprocessing and a model card."""
    refuse_projection(source)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION}
    facts = {"provenance": source.head.provenance}
    write_json(folder / CONFIG, about | config_record(source) | facts)
    write_json(folder / CLASSES, classes_record(source.head))
    write_json(folder / PREPROCESSING, preprocessing_record(source.settings))
    save_file(to_torchvision(source.model.state_dict()), folder / WEIGHTS, about)
    (folder / CARD).write_text(model_card(source), encoding="utf-8")


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Read the folder as ``wtn`` does, and compare detections."""
    model = read(folder).model

    def run(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = model([image])
        return found["boxes"], found["scores"], found["labels"]

    return compare_on_images(source, run, images)


def read(folder: Path) -> PlainDetector:
    """Read a folder that :func:`write` made.

    Raises:
        ArtifactError: If a file is missing or bad, or the files do not fit each other.
    """
    config = _read_json(folder / CONFIG)
    _expect_format(folder / CONFIG, config)
    classes = _read_json(folder / CLASSES)
    try:
        settings = ArchitectureSettings.model_validate(config["settings"])
        rows = classes["classes"]
        vocabulary = Vocabulary(tuple(r["id"] for r in rows), tuple(r["name"] for r in rows))
        groups, method = tuple(row["group"] for row in rows), str(config["method"])
    except (KeyError, TypeError, ValidationError) as error:
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
    return PlainDetector(plain_detector(settings, head, state), settings, head, method)


def refuse_projection(source: PlainDetector) -> None:
    """Raise MismatchError if the head is not a plain one."""
    if source.head.projection is not None:
        raise MismatchError(
            "zsd normalises the features before they meet the class rows, which no plain head does",
            mend="wtn predict takes the checkpoint as it is; --format onnx and pt2 serve it too.",
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ArtifactError(
            "no such file",
            where=path,
            mend="A detector folder is made by: wtn export CHECKPOINT --format directory",
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
            mend="A detector folder is made by: wtn export CHECKPOINT --format directory",
        )
