"""What every export starts from, and how it is compared with what it was made from.

Shapes: M RoIs, K classes of the head, R RoI feature width, n detections of an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead
from pipelines.config import TrainSettings


@dataclass(frozen=True)
class PlainDetector:
    """A detector with the rows of an exported head, and nothing left of the transfer.

    Args:
        model: In evaluation mode, on the CPU.
        settings: Of the training; ``backbone`` and ``detector`` describe the model.
        head: The rows, classes and groups of the model's class head.
    """

    model: GeneralizedRCNN
    settings: TrainSettings
    head: DetectionHead


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
    """

    compared: str
    count: int
    scores: float
    boxes: float
    unmatched: int = 0


class Exporter(Protocol):
    """What a module of a form has.

    Attributes:
        TARGET: Who takes it, for ``--list-formats``.
        EXACTNESS: What is exact in it, and what is not, in one line.
    """

    TARGET: str
    EXACTNESS: str

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
