"""Let a detector look for some classes in annotated images, and judge what it finds."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import Precision
from pipelines.data.annotations import Annotations
from pipelines.data.image_sizes import ImageSizes
from pipelines.data.images import ImageStore
from pipelines.metrics.blocks import detected_blocks, saved_blocks
from pipelines.metrics.checks import refuse_missing, refuse_pixels
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.models.inference import ImageDetections, detect

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class AnnotatedImages:
    """Images and what is in them.

    Args:
        annotations: The ground truth, expanded along the hierarchy where there is one.
        store: Has the image of every annotation.

    Raises:
        DatasetError: If an image is missing, or boxes are in pixels.
    """

    annotations: Annotations
    store: ImageStore

    def __post_init__(self) -> None:
        refuse_pixels(self.annotations)
        refuse_missing(self.annotations.image_ids, self.store)


@dataclass(frozen=True)
class Detecting:
    """How images are gone through.

    Args:
        device: Where the model is.
        batch_size: Images a pass.
        precision: Of convolutions and matrix products.
        on_progress: Called with the number of images done and in all.
    """

    device: torch.device
    batch_size: int = 4
    precision: Precision = "float32"
    on_progress: Progress = lambda done, total: None


def evaluate_model(
    model: GeneralizedRCNN,
    classes: EvaluatedClasses,
    images: AnnotatedImages,
    scoring: Scoring,
    detecting: Detecting,
    predictions: Path | None = None,
) -> EvaluateReport:
    """Detect in all images, and judge the detections.

    Args:
        model: In evaluation mode; it is told how many detections of an image to keep.
        classes: Those of its head, in the head's order.
        images: With their annotations.
        scoring: How detections are judged, see :func:`pipelines.evaluate.evaluate_detector`.
        detecting: How images are gone through.
        predictions: Write the detections here, as an Open Images challenge CSV.
    """
    scoring = replace(scoring, protocol=_prepare(model, classes, scoring.protocol))
    sizes: dict[str, tuple[int, int]] = {}  # filled by the stream
    blocks = detected_blocks(_found(model, images, detecting), classes.vocabulary.ids, sizes)
    if predictions is not None:
        blocks = saved_blocks(blocks, predictions)
    return scoring.report(
        images.annotations, blocks, classes, lambda ids: ImageSizes.from_mapping(sizes).of(ids)
    )


def _prepare(model: GeneralizedRCNN, classes: EvaluatedClasses, protocol: Protocol) -> Protocol:
    """Set how many detections of an image the model keeps, and return how many are judged.

    It keeps what the largest k of AR@k needs. In a joint evaluation each group has places of its
    own, of which all classes compete for as many: the best of all are among the best of each.
    """
    heads = model.roi_heads
    limit = protocol.detections_per_image or heads.detections_per_img
    heads.detections_per_img = max(limit, *protocol.recall_at, 0)
    if protocol.joint:
        groups = np.array(classes.groups)
        heads.rivals = [torch.from_numpy(np.flatnonzero(groups == g)) for g in np.unique(groups)]
    return replace(protocol, detections_per_image=limit)


def _found(
    model: GeneralizedRCNN, images: AnnotatedImages, detecting: Detecting
) -> Iterator[ImageDetections]:
    image_ids, read = images.annotations.image_ids, images.store.read
    stream = ((image_id, read(image_id)) for image_id in image_ids)
    found = detect(
        model, stream, detecting.device, detecting.batch_size, precision=detecting.precision
    )
    return _watched(found, len(image_ids), detecting.on_progress)


def _watched(
    images: Iterable[ImageDetections], total: int, on_progress: Progress
) -> Iterator[ImageDetections]:
    for done, image in enumerate(images, start=1):
        yield image
        on_progress(done, total)
