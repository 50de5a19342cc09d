"""Run a detector over images, in batches.

Shapes: H and W of an image in pixels, n detections of an image.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.models.postprocess import Detections


class ImageDetections(NamedTuple):
    """What was found in one image.

    Args:
        image_id: As it came in.
        size: Height and width in pixels.
        found: On the CPU; boxes in pixels of the original image.
    """

    image_id: str
    size: tuple[int, int]
    found: Detections


@torch.inference_mode()
def detect(
    model: GeneralizedRCNN,
    images: Iterable[tuple[str, Tensor]],
    device: torch.device,
    batch_size: int,
) -> Iterator[ImageDetections]:
    """Detect in every image, keeping their order.

    Args:
        model: In evaluation mode, on ``device``.
        images: Pairs of an id and a uint8 RGB image ``[3, H, W]``.
        device: Where the model is.
        batch_size: Images a pass.
    """
    remaining = iter(images)
    while batch := list(islice(remaining, batch_size)):
        outputs = model([image.to(device).float() / 255 for _, image in batch])
        for (image_id, image), output in zip(batch, outputs, strict=True):
            parts = (output[name].cpu() for name in ("boxes", "scores", "labels"))
            yield ImageDetections(image_id, (image.shape[1], image.shape[2]), Detections(*parts))
