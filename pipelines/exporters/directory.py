"""The canonical folder: one file a concern, each of a kind that any tool can read."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import (
    PREPROCESSING,
    classes_record,
    config_record,
    preprocessing_record,
    write_json,
)
from pipelines.exporters.files import expect_tensors
from pipelines.exporters.model_card import model_card
from pipelines.exporters.requirements import refuse_projection
from pipelines.exporters.running import compare_on_images
from pipelines.models.checkpoints import plain_detector
from pipelines.models.detector_folder import CLASSES, CONFIG, FORMAT, WEIGHTS, read_folder
from pipelines.models.state_names import to_torchvision
from pipelines.storage import FORMAT_VERSION, save_tensors

CARD = "README.md"


def write(source: PlainDetector, folder: Path) -> None:
    """Write config, weights, classes, preprocessing and a model card.

    Raises:
        MismatchError: If no plain head expresses the method.
    """
    refuse_projection(source)
    about = {"format": FORMAT, "format_version": FORMAT_VERSION}
    facts = {"provenance": source.head.provenance}
    write_json(folder / CONFIG, about | config_record(source) | facts)
    write_json(folder / CLASSES, classes_record(source.head))
    write_json(folder / PREPROCESSING, preprocessing_record(source.settings))
    save_tensors(folder / WEIGHTS, to_torchvision(source.model.state_dict()), about)
    (folder / CARD).write_text(model_card(source), encoding="utf-8")


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Read the folder as ``wtn`` does, and compare tensors and detections.

    Raises:
        RunError: If a tensor is not what was written.
    """
    found = read_folder(folder)
    expect_tensors(folder / WEIGHTS, found.state, source.model.state_dict())
    model = plain_detector(found.settings, found.head, found.state)

    def run(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (detected,) = model([image])
        return detected["boxes"], detected["scores"], detected["labels"]

    return compare_on_images(source, run, images)
