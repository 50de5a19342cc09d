"""Stage 4: score a detector, or a file of predictions, against boxes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import DetectionHead
from pipelines.config import Metric
from pipelines.data.annotation_files import load_annotations
from pipelines.data.annotations import Annotations
from pipelines.data.class_choice import choose_rows
from pipelines.data.image_sizes import ImageSizes, parse_image_sizes
from pipelines.data.images import ImageStore, open_images
from pipelines.data.index import is_index, open_index
from pipelines.data.predictions import iter_predictions
from pipelines.data.splits import expand
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, DatasetError
from pipelines.metrics.blocks import blocks_of_images, detected_blocks, saved_blocks
from pipelines.metrics.checks import (
    refuse_disjoint,
    refuse_labels_of_other_images,
    refuse_missing,
    refuse_pixels,
)
from pipelines.metrics.evaluation import PLAIN, Protocol
from pipelines.metrics.groups import EvaluatedClasses, choose_classes, classes_of_head
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scorer, refuse_unjudged
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import ImageDetections, detect

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GroundTruth:
    """The annotation files.

    Args:
        boxes: Open Images box CSV, or an index made by ``wtn prepare``; boxes are taken as they
            are.
        image_labels: Verified image-level labels; without them the boxes are taken as exhaustive.
        hierarchy: Expands both along the classes above (boxes, positive labels) and below
            (negative labels); an index has its own, and may be expanded already.
    """

    boxes: Path
    image_labels: Path | None = None
    hierarchy: Path | None = None

    def load(self) -> Annotations:
        """Read and expand the files."""
        read = load_annotations(
            self.boxes,
            image_labels=self.image_labels,
            hierarchy=self.hierarchy,
            policy="keep",
        )
        if len(read.boxes) == 0:
            raise DatasetError("no boxes to evaluate against", where=self.boxes)
        if self.image_labels is not None:
            refuse_labels_of_other_images(read, self.image_labels)
        return read if read.hierarchy is None else expand(read)

    def images(self, sources: Sequence[Path]) -> ImageStore:
        """Open the images: those given, or those that the index knows.

        Raises:
            ConfigError: If there are none.
            DatasetError: If a source is missing or holds no image.
        """
        known = open_index(self.boxes).images() if not sources and is_index(self.boxes) else None
        if known is not None:
            return known
        if not sources:
            raise ConfigError(
                "--images missing",
                mend="Give the folder or archive of images, or an index that knows them.",
            )
        return open_images(*sources)


def evaluate_detector(
    checkpoint: Path,
    head: Path,
    images: Sequence[Path],
    truth: GroundTruth,
    *,
    metric: Metric = "oid",
    classes: str = "all",
    group_of_weight: float = 1.0,
    protocol: Protocol = PLAIN,
    device: str = "auto",
    batch_size: int = 4,
    predictions: Path | None = None,
    on_progress: Progress = lambda done, total: None,
) -> EvaluateReport:
    """Detect in the annotated images, and score the detections.

    Args:
        checkpoint: A trained detector.
        head: Exported from it.
        images: Folders or archives; none if the ground truth is an index that knows its images.
        truth: The annotation files.
        metric: ``oid`` (Open Images challenge), ``aewtn-release`` (the release's variant) or
            ``coco``.
        classes: Which of the head's classes to detect and evaluate; classes that are left out do
            not compete.
        group_of_weight: What a group of objects is worth (``oid``).
        protocol: How many detections of an image count, by default as many as training set, and
            what else is asked for. In a joint evaluation each group of classes is detected with so
            many places of its own, of which the best of all compete again.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.
        predictions: Write the detections here, as an Open Images challenge CSV.
        on_progress: Called with the number of images done and in all.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    refuse_unjudged(metric, protocol)
    full = DetectionHead.load(head)
    rows = choose_rows(classes, full.vocabulary, full.groups)
    annotations = truth.load()
    evaluated = classes_of_head(full, rows, annotations)
    if protocol.joint:
        evaluated.require_seen_and_novel()
    refuse_disjoint(evaluated.vocabulary, annotations)
    refuse_pixels(annotations)
    store = truth.images(images)
    refuse_missing(annotations.image_ids, store)
    target = resolve_device(device)
    model = load_detector(checkpoint, full.subset(rows)).to(target)
    protocol = _prepare(model, evaluated, protocol)
    stream = ((image_id, store.read(image_id)) for image_id in annotations.image_ids)
    found = _watched(
        detect(model, stream, target, batch_size), len(annotations.image_ids), on_progress
    )
    sizes: dict[str, tuple[int, int]] = {}  # filled by the stream
    blocks = detected_blocks(found, evaluated.vocabulary.ids, sizes)
    if predictions is not None:
        blocks = saved_blocks(blocks, predictions)
    scorer = Scorer(metric, group_of_weight, lambda ids: ImageSizes.from_mapping(sizes).of(ids))
    return scorer.report(annotations, blocks, evaluated, protocol)


def evaluate_predictions(
    predictions: Path,
    truth: GroundTruth,
    *,
    metric: Metric = "oid",
    classes: str | None = None,
    head: Path | None = None,
    seen_classes: Path | None = None,
    group_of_weight: float = 1.0,
    image_sizes: str | None = None,
    protocol: Protocol = PLAIN,
) -> EvaluateReport:
    """Score a file of predictions, which may be larger than memory.

    Args:
        predictions: Open Images challenge CSV: ImageID,LabelName,Score,XMin,XMax,YMin,YMax.
        truth: The annotation files.
        metric: As for :func:`evaluate_detector`.
        classes: The classes to evaluate: a class file, or a group of the head's; without it, all
            that have boxes.
        head: Tells which class is seen and which is novel.
        seen_classes: A class file that tells it in place of a head.
        group_of_weight: What a group of objects is worth (``oid``).
        image_sizes: For ``aewtn-release`` and ``coco``, which count in pixels: ``WIDTHxHEIGHT`` for
            all images, or a file of ``ImageID,height,width`` lines; not needed for an index that
            knows them.
        protocol: How many detections of an image count, by default all, and what else is asked for.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    refuse_unjudged(metric, protocol)
    annotations = truth.load()
    evaluated = choose_classes(annotations, classes, head, seen_classes)
    refuse_disjoint(evaluated.vocabulary, annotations)
    if protocol.joint:
        evaluated.require_seen_and_novel()
    sizes = _image_sizes(image_sizes, metric, annotations)
    scorer = Scorer(metric, group_of_weight, sizes.of)
    blocks = blocks_of_images(
        iter_predictions(predictions), annotations.image_ids, predictions, annotations.boxes.origin
    )
    return scorer.report(annotations, blocks, evaluated, protocol)


def _prepare(model: GeneralizedRCNN, classes: EvaluatedClasses, protocol: Protocol) -> Protocol:
    """Set how many detections of an image the model keeps; what it keeps need not be cut again.

    In a joint evaluation each group has places of its own, of which all classes compete for as
    many: the best of all are among the best of each.
    """
    heads = model.roi_heads
    heads.detections_per_img = protocol.detections_per_image or heads.detections_per_img
    if not protocol.joint:
        return replace(protocol, detections_per_image=None)
    groups = np.array(classes.groups)
    heads.rivals = [torch.from_numpy(np.flatnonzero(groups == g)) for g in np.unique(groups)]
    return replace(protocol, detections_per_image=heads.detections_per_img)


def _watched(
    images: Iterable[ImageDetections], total: int, on_progress: Progress
) -> Iterator[ImageDetections]:
    for done, image in enumerate(images, start=1):
        yield image
        on_progress(done, total)


def _image_sizes(given: str | None, metric: Metric, annotations: Annotations) -> ImageSizes:
    if given is not None:
        return parse_image_sizes(given)
    if metric != "oid" and not annotations.sizes.any():
        raise ConfigError(
            f"the metric {metric} counts in pixels and needs the images' sizes",
            mend="Give --image-sizes 1024x768, or a file of ImageID,height,width lines.",
        )
    return ImageSizes(annotations.image_ids, annotations.sizes)
