"""Labelled images of one object each, as a classifier is trained on them.

Shapes: n crops, s pixels a side, G groups of attributes.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pipelines.config import BackboneSettings
from pipelines.errors import DatasetError

HELD_OUT = 10  # every tenth crop, in random order, measures the accuracy


@dataclass(frozen=True)
class Crops:
    """Images of one object each, with their labels.

    Args:
        images: ``[n, s, s, 3]`` uint8, RGB.
        labels: ``[n]`` int64, the class of each crop.
        attributes: ``[n, G]`` int64, its value in each group of attributes; G may be 0.
    """

    images: Tensor
    labels: Tensor
    attributes: Tensor

    @classmethod
    def load(cls, path: Path) -> "Crops":
        """Read a safetensors file of ``images``, ``labels`` and ``attributes``.

        Raises:
            DatasetError: If the file is missing, cut short, or holds other tensors.
        """
        try:
            crops = cls(**load_file(path))
        except (FileNotFoundError, SafetensorError, TypeError) as error:
            raise DatasetError(f"not a file of crops ({error})", where=path) from error
        n = len(crops.labels)
        if n < HELD_OUT or len(crops.images) != n or len(crops.attributes) != n:
            raise DatasetError(
                f"{len(crops.images)} images, {n} labels and {len(crops.attributes)} attributes",
                where=path,
                mend=f"Expected as many of each, and {HELD_OUT} or more.",
            )
        return crops

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Crops":
        """Return the crops at ``indices``, in that order."""
        return Crops(self.images[indices], self.labels[indices], self.attributes[indices])


def normalise(images: Tensor) -> Tensor:
    """Return crops ``[n, s, s, 3]`` as the input ``[n, 3, s, s]`` that detectors use by default."""
    defaults = BackboneSettings()
    mean, std = 255 * torch.tensor([defaults.image_mean, defaults.image_std], device=images.device)
    pixels: Tensor = (images - mean) / std
    return pixels.permute(0, 3, 1, 2)  # channels last in memory, which is faster on a CPU
