"""What was found in one picture: as objects, as arrays, and drawn.

Shapes: n detections, H and W of the picture in pixels.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from pipelines.data.tables import IntArray
from pipelines.drawing import LabelledBox, draw_boxes


@dataclass(frozen=True)
class Detection:
    """One object.

    Args:
        label: Class id.
        name: Class name.
        group: ``seen``, ``novel`` or ``other``.
        row: The class's place among those that were looked for.
        score: Between 0 and 1.
        box: x1, y1, x2, y2 in pixels.
    """

    label: str
    name: str
    group: str
    row: int
    score: float
    box: tuple[float, float, float, float]


@dataclass(frozen=True)
class Prediction:
    """What was found in one picture.

    Args:
        image: The file; None for a picture that came as pixels.
        width: In pixels.
        height: In pixels.
        detections: By descending score.
        pixels: Returns the picture, uint8 RGB ``[3, H, W]``. A file is read again, so that
            predictions of many files take no memory.
    """

    image: Path | None
    width: int
    height: int
    detections: tuple[Detection, ...]
    pixels: Callable[[], Tensor] = field(repr=False, compare=False)

    @property
    def boxes(self) -> NDArray[np.float32]:
        """``[n, 4]``, x1, y1, x2, y2 in pixels."""
        return np.array([d.box for d in self.detections], np.float32).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float32]:
        """``[n]``, descending."""
        return np.array([d.score for d in self.detections], np.float32)

    @property
    def rows(self) -> IntArray:
        """``[n]``, the classes by their places among those that were looked for."""
        return np.array([d.row for d in self.detections], np.int64)

    @property
    def names(self) -> NDArray[np.str_]:
        """``[n]``, the readable names of the classes."""
        return np.array([d.name for d in self.detections], np.str_)

    def draw(self) -> Image.Image:
        """Return the picture with boxes and captions; a small one is enlarged.

        Raises:
            DatasetError: If the file has gone.
        """
        boxes = [LabelledBox(d.box, d.name, d.score, d.group) for d in self.detections]
        return draw_boxes(self.pixels(), boxes)
