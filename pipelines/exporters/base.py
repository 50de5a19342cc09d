"""What every export starts from, and how it is compared with what it was made from.

Shapes: H, W height and width of an image in pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead
from pipelines.config import ArchitectureSettings
from pipelines.models.checkpoints import (
    load_checkpoint_of,
    plain_detector,
    restore_detector,
    settings_of,
)
from pipelines.models.detector_folder import read_folder
from pipelines.models.offline import load_head


@dataclass(frozen=True)
class PlainDetector:
    """A detector with the rows of an exported head, and nothing left of the transfer.

    Args:
        model: In evaluation mode, on the CPU.
        settings: What the model is built from.
        head: The rows, classes and groups of the model's class head, and what it was made from.
        method: The rule that made the rows.
    """

    model: GeneralizedRCNN
    settings: ArchitectureSettings
    head: DetectionHead
    method: str

    @classmethod
    def load(cls, checkpoint: Path, head: Path | None = None) -> "PlainDetector":
        """Read a checkpoint and its head, or a detector's folder.

        Args:
            checkpoint: Or a folder, which has its head in it.
            head: None computes that of all classes of the checkpoint's classifier.

        Raises:
            MismatchError: If the head is another checkpoint's.
            ConfigError: If a head is given with a folder.
            ArtifactError: If a file is bad.
        """
        rows = load_head(checkpoint, head)
        if checkpoint.is_dir():
            found = read_folder(checkpoint)
            model = plain_detector(found.settings, rows, found.state)
            return cls(model, found.settings, rows, found.method)
        trained = load_checkpoint_of(rows, checkpoint)
        settings = settings_of(trained)
        model = restore_detector(trained, rows)
        return cls(model, settings.architecture, rows, settings.head.method)


@dataclass(frozen=True)
class Agreement:
    """How far an export is from the detector that it was made from, on real images.

    Args:
        compared: What was compared: ``detections`` of the whole detector, or ``RoIs`` where only
            the box head was run.
        count: How many of them.
        scores: Largest difference of a score, between 0 and 1.
        boxes: Largest difference of a coordinate, in pixels of the resized image.
        unmatched: Detections of either that the other has not; near-ties in suppression make some.
        deflation: Of an approximate softmax, where the scores differ by design.
        left_out: Images that the form does not serve.
    """

    compared: str
    count: int
    scores: float
    boxes: float
    unmatched: int = 0
    deflation: tuple["Deflation", ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Deflation:
    """How a softmax over all classes lowers the scores of RoIs whose sigmoid is in a range.

    Args:
        at_least: Of the highest sigmoid score of a RoI.
        below: Likewise.
        count: RoIs.
        sigmoid: Their mean.
        softmax: The mean of what the softmax makes of the same class.
    """

    at_least: float
    below: float
    count: int
    sigmoid: float
    softmax: float


class Exporter(Protocol):
    """What a module of :data:`pipelines.exporters.formats.FORMATS` has."""

    def write(self, source: PlainDetector, folder: Path) -> None:
        """Write the files into an empty folder.

        Raises:
            MismatchError: If the form cannot express this detector.
        """

    def check(self, source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
        """Read back what was written, run it as its program does, and compare.

        Args:
            source: What it was made from.
            folder: As written.
            images: uint8 RGB ``[3, H, W]``.
        """
