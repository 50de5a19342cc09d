"""A state dict and one Python file that runs it with torch and torchvision alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN

from pipelines.exporters import standalone
from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.bundle import bundle
from pipelines.exporters.description import (
    classes_record,
    config_record,
    write_json,
)
from pipelines.exporters.files import COUNTERS, expect_tensors, read_tensors
from pipelines.exporters.requirements import refuse_projection
from pipelines.exporters.running import compare_on_images
from pipelines.models.detector_folder import CLASSES, CONFIG
from pipelines.models.state_names import to_torchvision

WEIGHTS, CODE = "model.pth", "model.py"


def write(source: PlainDetector, folder: Path) -> None:
    """Write the state dict, the code, the config and the classes.

    Raises:
        MismatchError: If no plain head expresses the method.
    """
    refuse_projection(source)
    torch.save(_state(source), folder / WEIGHTS)
    (folder / CODE).write_text(bundle(standalone), encoding="utf-8")
    write_json(folder / CONFIG, config_record(source))
    write_json(folder / CLASSES, classes_record(source.head))


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Import the code as written, load the detector with it, and compare tensors and detections.

    Raises:
        RunError: If a tensor is not what was written.
    """
    expect_tensors(folder / WEIGHTS, read_tensors(folder / WEIGHTS), _state(source))
    model = _load(folder)

    def run(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = model([image])
        return found["boxes"], found["scores"], found["labels"]

    return compare_on_images(source, run, images)


def _state(source: PlainDetector) -> dict[str, Tensor]:
    state = to_torchvision(source.model.state_dict())
    return {name: tensor for name, tensor in state.items() if not name.endswith(COUNTERS)}


def _load(folder: Path) -> FasterRCNN:
    code = compile((folder / CODE).read_text(encoding="utf-8"), str(folder / CODE), "exec")
    names: dict[str, Any] = {"__name__": "exported_model", "__file__": str(folder / CODE)}
    exec(code, names)  # what was written a moment ago
    return names["load"](folder)
