"""What the benchmark of training trains: the paper's methods, on drawn images with drawn boxes.

Shapes: B images of a batch, C classifier classes, D detection classes, S of them seen, d classifier
width and here also the RoI feature width, G boxes of an image, H and W its size in pixels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pipelines.benchmarks.export import SEEN
from pipelines.config import BackboneName, HeadSettings, Precision, TrainSettings, validate_settings
from pipelines.data.batches import Batch, Example
from pipelines.errors import ConfigError

DRAWN = "ae-wtn-drawn"
"""AE-WTN that reconstructs some classes in a step, drawn anew each time."""
METHODS = ("faster-rcnn", "wtn", "wtn+", "ae-wtn", DRAWN)
PLAIN = METHODS[0]
DETECTED = 500  # of the paper's 5000 classes, with 486 seen; other numbers of classes in proportion
PAPER_CLASSES = 5000
PAPER_SIZE: Mapping[str, Any] = {
    "backbone": "resnet50",
    "size": 800,
    "images": 2,
    "classes": PAPER_CLASSES,
    "width": 2048,
}
CPU_SIZE: Mapping[str, Any] = {
    "backbone": "resnet18",
    "size": 320,
    "classes": 1000,
    "width": 512,
}
_PHOTOGRAPH = (
    0.96,
    1.28,
)  # height and width over the resized side: 768 x 1024 at 800 (Open Images)
_BOXES = 7  # of an image; 12.2 million of 1.74 million (Open Images V4)
_RATE = 1e-12  # rounds to nothing: all steps of a run see the same proposals


@dataclass(frozen=True)
class TrainSetup:
    """What is measured, but for the method.

    Args:
        backbone: Its name; all its weights are random.
        size: Shortest side of the resized images, in pixels.
        images: B.
        classes: C.
        width: d.
        drawn: Classes that ``ae-wtn-drawn`` reconstructs in a step.
        device: As torch names it.
        precision: Of convolutions and matrix products.
        threads: Of the CPU.
    """

    backbone: BackboneName
    size: int
    images: int
    classes: int
    width: int
    drawn: int
    device: str
    precision: Precision
    threads: int

    @property
    def detected(self) -> int:
        """D, a tenth of the classes as in the paper."""
        return max(2, self.classes * DETECTED // PAPER_CLASSES)

    @property
    def seen(self) -> int:
        """S."""
        return max(1, self.detected * SEEN // DETECTED)

    @property
    def methods(self) -> tuple[str, ...]:
        """Those of ``METHODS`` that differ: drawing all classes is drawing none."""
        return METHODS if self.drawn < self.classes else METHODS[: METHODS.index(DRAWN)]

    @property
    def is_paper_size(self) -> bool:
        """Whether the detector and the batch are those of the paper's Table 4."""
        return all(getattr(self, name) == value for name, value in PAPER_SIZE.items())


def setup_for(
    device: torch.device,
    precision: Precision,
    threads: int,
    drawn: int,
    given: Mapping[str, Any],
) -> TrainSetup:
    """Return a setup; what is not given, or None, is the paper's on a GPU and small on a CPU.

    Raises:
        ConfigError: If the width cannot be normalised in 32 groups.
    """
    defaults = PAPER_SIZE if device.type == "cuda" else CPU_SIZE
    chosen = {name: defaults[name] if value is None else value for name, value in given.items()}
    groups = HeadSettings().groups
    if chosen["width"] % groups:
        raise ConfigError(
            f"a width of {chosen['width']} cannot be normalised in {groups} groups",
            mend=f"Choose a multiple of {groups}.",
        )
    return TrainSetup(
        **chosen, drawn=drawn, device=str(device), precision=precision, threads=threads
    )


def train_settings(setup: TrainSetup, method: str, engine: Mapping[str, object]) -> TrainSettings:
    """Return the settings of a training.

    Args:
        setup: Sizes and precision.
        method: One of ``METHODS``.
        engine: Settings of the engine that are not the default; the precision is the setup's.
    """
    head: dict[str, object] = {"method": "ae-wtn" if method == DRAWN else method}
    if method == DRAWN:
        head["reconstructed_count"] = setup.drawn
    if method != PLAIN:
        head["zero_gamma"] = False  # gradients of 0 would be unlike those of a training
    tree = {
        "classifier": "drawn",
        "data": {"boxes": "drawn"},
        "backbone": {"name": setup.backbone},
        "detector": {
            "roi_width": setup.width,
            "min_size": setup.size,
            "max_size": max(1333, 2 * setup.size),
        },
        "head": head,
        "optimizer": {"learning_rate": _RATE, "transfer_learning_rate": _RATE},
        "schedule": {"batch_size": setup.images},
        "engine": {"precision": setup.precision, **engine},
    }
    return validate_settings(tree)


def draw_batch(setup: TrainSetup) -> Batch:
    """Return B photographs of noise, each with boxes of detection classes."""
    generator = torch.Generator().manual_seed(0)
    height, width = (round(side * setup.size) for side in _PHOTOGRAPH)
    return Batch.of(
        [
            Example(
                torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8),
                {
                    "boxes": _draw_boxes(height, width, generator),
                    "labels": torch.randint(1, setup.detected + 1, (_BOXES,), generator=generator),
                },
                f"drawn-{number}",
            )
            for number in range(setup.images)
        ]
    )


def _draw_boxes(height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return boxes ``[G, 4]`` of a tenth to a half of the image's sides."""
    sides = 0.1 + 0.4 * torch.rand(_BOXES, 2, generator=generator)
    corners = torch.rand(_BOXES, 2, generator=generator) * (1 - sides)
    return torch.cat([corners, corners + sides], dim=1) * torch.tensor([width, height] * 2)
