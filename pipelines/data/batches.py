"""Images and targets on their way from the files to the detector.

Shapes: B images of a batch, G boxes of one image, H and W its size in pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

Target = dict[str, Tensor]  # {"boxes": [G, 4] float32 x1 y1 x2 y2 in pixels, "labels": [G] int64}


class SkippedImage(NamedTuple):
    """An image that does not decode, whose look another one took.

    Args:
        image_id: Its id.
        why: The error, in one line with the file.
    """

    image_id: str
    why: str


class Example(NamedTuple):
    """One look at an image.

    Args:
        image: uint8 ``[3, H, W]``.
        target: Its boxes.
        image_id: Its id.
        skipped: The images that should have been here and are bad.
    """

    image: Tensor
    target: Target
    image_id: str
    skipped: tuple[SkippedImage, ...] = ()


class Batch(NamedTuple):
    """What one process contributes to a step. Images keep their sizes; the detector pads them.

    A tuple with names, because ``DataLoader`` takes those to pinned memory by itself.

    Args:
        images: B of uint8 ``[3, H, W]``; a quarter of what float32 takes on the way to a GPU.
        targets: Of each image.
        image_ids: Of each image.
        skipped: As :class:`Example` has them.
    """

    images: list[Tensor]
    targets: list[Target]
    image_ids: list[str]
    skipped: list[SkippedImage]

    @classmethod
    def of(cls, examples: Sequence[Example]) -> "Batch":
        """Put examples together."""
        return cls(
            [example.image for example in examples],
            [example.target for example in examples],
            [example.image_id for example in examples],
            [skipped for example in examples for skipped in example.skipped],
        )

    @classmethod
    def joined(cls, batches: Sequence["Batch"]) -> "Batch":
        """Return batches as one."""
        parts = zip(*batches, strict=True)
        return cls(*([item for part in same for item in part] for same in parts))

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device; from pinned memory to a GPU, without waiting.

        Towards the CPU it waits: nothing else would keep the copy from being read too early.
        """
        early = device.type == "cuda"
        return self._replace(
            images=[image.to(device, non_blocking=early) for image in self.images],
            targets=[
                {name: tensor.to(device, non_blocking=early) for name, tensor in target.items()}
                for target in self.targets
            ],
        )

    def tensors(self) -> list[Tensor]:
        """Return every tensor of the batch."""
        return [*self.images, *(tensor for target in self.targets for tensor in target.values())]

    @property
    def pixels(self) -> list[Tensor]:
        """The images as the detector takes them, float32 from 0 to 1, where they are."""
        return [image.float() / 255 for image in self.images]
