"""Run a detector over images, in batches.

Shapes: H and W of an image in pixels, n detections of an image.
"""

from collections.abc import Iterable, Iterator, Sequence
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
        batch_size: Images a pass, of one size each; what is found in one depends on no other.
        precision: Of convolutions and matrix products; boxes are decoded and compared in float32.

    Raises:
        DatasetError: If an image is too thin to be resized.
    """
    remaining = iter(images)
    while batch := list(islice(remaining, batch_size)):
        for image_id, image in batch:
            _refuse_thin(image_id, image, model.transform.max_size)
        found: dict[int, dict[str, Tensor]] = {}
        for places in _of_one_size([image for _, image in batch]):
            with in_precision(precision, device):
                outputs = model([batch[place][1].to(device).float() / 255 for place in places])
            found |= zip(places, outputs, strict=True)
        for place, (image_id, image) in enumerate(batch):
            parts = (found[place][name].cpu() for name in ("boxes", "scores", "labels"))
            yield ImageDetections(image_id, (image.shape[1], image.shape[2]), Detections(*parts))


def _of_one_size(images: Sequence[Tensor]) -> list[list[int]]:
    """Return the places of images by size: those of a pass are padded to the largest of them.

    Padding moves the anchors, so an image would be seen otherwise beside a larger one.
    """
    places: dict[torch.Size, list[int]] = {}
    for place, image in enumerate(images):
        places.setdefault(image.shape, []).append(place)
    return list(places.values())


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
