"""Let a detector look for some classes in annotated images, and judge what it finds."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import Precision
from pipelines.data.annotations import Annotations
from pipelines.data.image_sizes import ImageSizes
from pipelines.data.images import ImageStore
from pipelines.data.predictions import PredictionTable
from pipelines.data.tables import IntArray
from pipelines.distributed import ALONE, Team
from pipelines.metrics.blocks import IMAGES_PER_BLOCK, detected_blocks, saved_blocks
from pipelines.metrics.checks import refuse_missing, refuse_pixels
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.groups import EvaluatedClasses
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.metrics.shared_work import Exchange, rounds
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
        team: The processes that share the images.
    """

    device: torch.device
    batch_size: int = 4
    precision: Precision = "float32"
    on_progress: Progress = lambda done, total: None
    team: Team = ALONE


def evaluate_model(
    model: GeneralizedRCNN,
    classes: EvaluatedClasses,
    images: AnnotatedImages,
    scoring: Scoring,
    detecting: Detecting,
    predictions: Path | None = None,
) -> EvaluateReport:
    """Detect in all images, and judge the detections; all processes of a team get the report.

    The leader alone judges, and writes. It holds the detections of one round at a time.

    Args:
        model: In evaluation mode; it is told how many detections of an image to keep.
        classes: Those of its head, in the head's order.
        images: With their annotations.
        scoring: How detections are judged, see :func:`pipelines.evaluate.evaluate_detector`.
        detecting: How images are gone through.
        predictions: Write the detections here, as an Open Images challenge CSV.
    """
    scoring = replace(scoring, protocol=_prepare(model, classes, scoring.protocol))
    exchange, team = Exchange(detecting.team), detecting.team
    with exchange.failing_together():
        found = _Found(model, classes.vocabulary.ids, images, detecting, exchange)
        if not team.is_leader:
            deque(found, maxlen=0)
            return cast(EvaluateReport, exchange.gather(None)[0])
        blocks = iter(found) if predictions is None else saved_blocks(found, predictions)
        report = scoring.report(images.annotations, blocks, classes, found.sizes_of)
        return exchange.gather(report)[0]


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


class _Found:
    """What a team of processes finds, in the order of the images, a block at a time.

    Args:
        model: In evaluation mode.
        class_ids: Of its head.
        images: To go through.
        detecting: How.
        exchange: With the other processes, which go through the same images.
    """

    def __init__(
        self,
        model: GeneralizedRCNN,
        class_ids: tuple[str, ...],
        images: AnnotatedImages,
        detecting: Detecting,
        exchange: Exchange,
    ) -> None:
        self._model, self._class_ids, self._detecting = model, class_ids, detecting
        self._image_ids, self._store = images.annotations.image_ids, images.store
        self._exchange, self._sizes = exchange, dict[str, tuple[int, int]]()

    def __iter__(self) -> Iterator[PredictionTable]:
        how, done = self._detecting, 0
        for shares in rounds(self._image_ids, how.batch_size, how.team.size, IMAGES_PER_BLOCK):
            sizes: dict[str, tuple[int, int]] = {}
            found = self._watched(self._detect(shares[how.team.rank]), done)
            own = list(detected_blocks(found, self._class_ids, sizes))
            for blocks, their_sizes in self._exchange.gather((own, sizes)):
                self._sizes |= their_sizes
                yield from blocks
            done += sum(map(len, shares))

    def sizes_of(self, image_ids: Sequence[str]) -> IntArray:
        """Return height and width ``[I, 2]`` in pixels, once all images have come by."""
        return ImageSizes.from_mapping(self._sizes).of(image_ids)

    def _detect(self, image_ids: Sequence[str]) -> Iterator[ImageDetections]:
        how = self._detecting
        stream = ((image_id, self._store.read(image_id)) for image_id in image_ids)
        return detect(self._model, stream, how.device, how.batch_size, precision=how.precision)

    def _watched(self, found: Iterable[ImageDetections], before: int) -> Iterator[ImageDetections]:
        """Report progress as if all processes were equally fast."""
        total, team = len(self._image_ids), self._detecting.team
        for own, image in enumerate(found, start=1):
            yield image
            self._detecting.on_progress(min(before + own * team.size, total), total)
