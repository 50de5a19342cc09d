"""Stage 4: score a detector, or a file of predictions, against boxes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import Metric, Precision
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
from pipelines.metrics.blocks import checked_blocks, detected_blocks, saved_blocks
from pipelines.metrics.checks import (
    PredictionChecks,
    refuse_disjoint,
    refuse_labels_of_other_images,
    refuse_missing,
    refuse_pixels,
)
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.groups import EvaluatedClasses, choose_classes, classes_of_head
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import PLAIN_SCORING, Scoring
from pipelines.models.calibration import shift_novel
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import ImageDetections, detect
from pipelines.models.offline import load_head
from pipelines.storage import refuse_to_replace

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class GroundTruthFiles:
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

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that are given."""
        return tuple(p for p in (self.boxes, self.image_labels, self.hierarchy) if p is not None)

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
    head: Path | None,
    images: Sequence[Path],
    truth: GroundTruthFiles,
    *,
    scoring: Scoring = PLAIN_SCORING,
    novel_shift: float = 0.0,
    device: str = "auto",
    batch_size: int = 4,
    precision: Precision = "float32",
    predictions: Path | None = None,
    on_progress: Progress = lambda done, total: None,
) -> EvaluateReport:
    """Detect in the annotated images, and score the detections.

    Args:
        checkpoint: A trained detector.
        head: Exported from it; None computes that of all classes of its classifier, which serves
            every method, also the one that no head file serves (``zsd``).
        images: Folders or archives; none if the ground truth is an index that knows its images.
        truth: The annotation files.
        scoring: What is detected and scored, and how; classes that are left out do not compete. By
            default as many detections of an image count as training set, and as many are kept, or
            more where AR@k asks for them. In a joint evaluation each group of classes is detected
            with so many places of its own, of which the best of all compete again.
        novel_shift: Added to the logits of novel classes, see :func:`shift_novel`.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.
        precision: Of convolutions and matrix products.
        predictions: Write the detections here, as an Open Images challenge CSV.
        on_progress: Called with the number of images done and in all.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    if predictions is not None:
        refuse_to_replace(predictions, [checkpoint, head, *images, *truth.paths])
    full = shift_novel(load_head(checkpoint, head), novel_shift)
    rows = choose_rows(scoring.classes or "all", full.vocabulary, full.groups)
    annotations = truth.load()
    evaluated = classes_of_head(full, rows, annotations)
    if scoring.protocol.joint:
        evaluated.require_seen_and_novel()
    refuse_disjoint(evaluated.vocabulary, annotations)
    refuse_pixels(annotations)
    store = truth.images(images)
    refuse_missing(annotations.image_ids, store)
    target = resolve_device(device)
    model = load_detector(checkpoint, full.subset(rows)).to(target)
    scoring = replace(scoring, protocol=_prepare(model, evaluated, scoring.protocol))
    stream = ((image_id, store.read(image_id)) for image_id in annotations.image_ids)
    detected = detect(model, stream, target, batch_size, precision=precision)
    found = _watched(detected, len(annotations.image_ids), on_progress)
    sizes: dict[str, tuple[int, int]] = {}  # filled by the stream
    blocks = detected_blocks(found, evaluated.vocabulary.ids, sizes)
    if predictions is not None:
        blocks = saved_blocks(blocks, predictions)
    return scoring.report(
        annotations, blocks, evaluated, lambda ids: ImageSizes.from_mapping(sizes).of(ids)
    )


def evaluate_predictions(
    predictions: Path,
    truth: GroundTruthFiles,
    *,
    scoring: Scoring = PLAIN_SCORING,
    head: Path | None = None,
    seen_classes: Path | None = None,
    image_sizes: str | None = None,
) -> EvaluateReport:
    """Score a file of predictions, which may be larger than memory.

    Args:
        predictions: Open Images challenge CSV: ImageID,LabelName,Score,XMin,XMax,YMin,YMax.
        truth: The annotation files.
        scoring: What is scored, and how; by default all detections of an image count. A joint
            evaluation needs their number, and a file that holds as many of each group.
        head: Tells which class is seen and which is novel; its classes are scored.
        seen_classes: A class file that tells it in place of a head.
        image_sizes: For ``aewtn-release`` and ``coco``, which count in pixels: ``WIDTHxHEIGHT`` for
            all images, or a file of ``ImageID,height,width`` lines; not needed for an index that
            knows them.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    if scoring.protocol.joint:
        _require_places(scoring.protocol)
    annotations = truth.load()
    evaluated = choose_classes(annotations, scoring.classes, head, seen_classes)
    refuse_disjoint(evaluated.vocabulary, annotations)
    refuse_pixels(annotations)
    if scoring.protocol.joint:
        evaluated.require_seen_and_novel()
    sizes = _image_sizes(image_sizes, scoring.metric, annotations)
    checks = PredictionChecks(predictions, annotations, evaluated.vocabulary)
    blocks = checked_blocks(iter_predictions(predictions), checks)
    return scoring.report(annotations, blocks, evaluated, sizes.of)


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


def _require_places(protocol: Protocol) -> None:
    """Refuse a joint evaluation in which nobody competes: all detections of a file count."""
    if protocol.detections_per_image is None:
        raise ConfigError(
            "a joint evaluation of a file needs --max-detections: the classes compete for places",
            mend="Give --max-detections 100; the file must hold so many of each group, as "
            "--joint --save-predictions writes.",
        )


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
