"""Run a detector over images, in batches.

Shapes: H and W of an image in pixels, n detections of an image.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import Precision
from pipelines.errors import DatasetError
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
    *,
    precision: Precision = "float32",
) -> Iterator[ImageDetections]:
    """Detect in every image, keeping their order.

    Args:
        model: In evaluation mode, on ``device``.
        images: Pairs of an id and a uint8 RGB image ``[3, H, W]``.
        device: Where the model is.
        batch_size: Images a pass.
        precision: Of convolutions and matrix products; boxes are decoded and compared in float32.

    Raises:
        DatasetError: If an image is too thin to be resized.
    """
    remaining = iter(images)
    while batch := list(islice(remaining, batch_size)):
        for image_id, image in batch:
            _refuse_thin(image_id, image, model.transform.max_size)
        with in_precision(precision, device):
            outputs = model([image.to(device).float() / 255 for _, image in batch])
        for (image_id, image), output in zip(batch, outputs, strict=True):
            parts = (output[name].cpu() for name in ("boxes", "scores", "labels"))
            yield ImageDetections(image_id, (image.shape[1], image.shape[2]), Detections(*parts))


def in_precision(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Return the context in which a model computes with a precision."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def _refuse_thin(image_id: str, image: Tensor, max_size: int) -> None:
    """Raise DatasetError if nothing is left of the shorter side in the detector's resizing."""
    shorter, longer = sorted(image.shape[1:])
    if int(shorter * (max_size / longer)) < 1:
        raise DatasetError(
            f"the image is too thin ({image.shape[2]} x {image.shape[1]} pixels): no pixel of its "
            f"shorter side is left when its longer side is resized to {max_size}",
            where=image_id,
            mend="Crop the picture or leave it out.",
        )
