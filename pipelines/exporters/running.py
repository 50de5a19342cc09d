"""Run the source of an export and the export itself on the same images.

Shapes: H, W height and width of an image in pixels, n detections.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.comparison import compare_detections
from pipelines.models.postprocess import Detections

# A detector of one float RGB image [3, H, W] in 0..1: boxes [n, 4], scores [n], class rows [n].
RunDetector = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]


@torch.inference_mode()
def compare_on_images(
    source: PlainDetector, export: RunDetector, images: Sequence[Tensor]
) -> Agreement:
    """Compare detectors that resize images themselves; images are uint8 ``[3, H, W]``."""
    pairs = []
    for image in images:
        scaled = image.float() / 255
        pairs.append((_detect(source, scaled), Detections(*export(scaled))))
    return compare_detections(pairs)


@torch.inference_mode()
def compare_on_resized_images(
    source: PlainDetector, export: RunDetector, images: Sequence[Tensor]
) -> Agreement:
    """Compare with an export that takes images resized; images are uint8 ``[3, H, W]``."""
    pairs = []
    for image in images:
        scaled = image.float() / 255
        resized, _ = source.model.transform.resize(scaled, None)
        found = _detect(source, scaled)
        ratios = [resized.shape[axis] / scaled.shape[axis] for axis in (2, 1)]
        boxes = found.boxes * found.boxes.new_tensor(ratios * 2)
        pairs.append((found._replace(boxes=boxes), Detections(*export(resized))))
    return compare_detections(pairs)


def _detect(source: PlainDetector, image: Tensor) -> Detections:
    (found,) = source.model([image])
    return Detections(found["boxes"], found["scores"], found["labels"])
