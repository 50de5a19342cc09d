"""Stage 4: score a detector, or a file of predictions, against boxes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipelines.artifacts import DetectionHead
from pipelines.config import Metric
from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.class_choice import GROUPS, choose_rows
from pipelines.data.class_files import read_subset
from pipelines.data.expansion import expand_boxes, expand_image_labels
from pipelines.data.image_sizes import ImageSizes, parse_image_sizes
from pipelines.data.images import ImageStore, open_images
from pipelines.data.open_images import read_boxes, read_image_labels
from pipelines.data.predictions import PredictionTable, read_predictions, write_predictions
from pipelines.devices import resolve_device
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.metrics.detection_metrics import DetectionMetrics
from pipelines.metrics.open_images import open_images_metric
from pipelines.metrics.release import release_metric
from pipelines.metrics.report import EvaluateReport
from pipelines.models.checkpoints import load_detector
from pipelines.models.inference import ImageDetections, detect
from pipelines.vocabulary import ClassHierarchy, Vocabulary

Progress = Callable[[int, int], None]
MAX_FRACTION = 2.0  # VG-200 has boxes that reach to 1.752; a pixel count is larger


@dataclass(frozen=True)
class GroundTruth:
    """The annotation files.

    Args:
        boxes: Open Images box CSV; boxes are taken as they are.
        image_labels: Verified image-level labels; without them the boxes are taken as exhaustive.
        hierarchy: Expands both along the classes above (boxes, positive labels) and below
            (negative labels).
    """

    boxes: Path
    image_labels: Path | None = None
    hierarchy: Path | None = None

    def load(self) -> tuple[BoxTable, ImageLabelTable | None]:
        """Read and expand the files."""
        boxes = read_boxes(self.boxes, "keep")
        labels = read_image_labels(self.image_labels) if self.image_labels else None
        if len(boxes) == 0:
            raise DatasetError("no boxes to evaluate against", where=self.boxes)
        if labels is not None and self.image_labels is not None:
            _refuse_other_images(labels.image_ids, boxes, self.image_labels)
        if self.hierarchy is None:
            return boxes, labels
        hierarchy = ClassHierarchy.from_json(self.hierarchy)
        hierarchy.refuse_disjoint(boxes.class_ids, self.hierarchy)
        expanded = labels if labels is None else expand_image_labels(labels, hierarchy)
        return expand_boxes(boxes, hierarchy), expanded


def evaluate_detector(
    checkpoint: Path,
    head: Path,
    images: Path,
    truth: GroundTruth,
    *,
    metric: Metric = "oid",
    classes: str = "all",
    group_of_weight: float = 1.0,
    detections_per_image: int | None = None,
    device: str = "auto",
    batch_size: int = 4,
    predictions: Path | None = None,
    on_progress: Progress = lambda done, total: None,
) -> EvaluateReport:
    """Detect in the annotated images, and score the detections.

    Args:
        checkpoint: A trained detector.
        head: Exported from it.
        images: Folder or zip.
        truth: The annotation files.
        metric: ``oid`` (Open Images challenge) or ``aewtn-release`` (the release's variant).
        classes: Which of the head's classes to detect and evaluate; classes that are left out do
            not compete.
        group_of_weight: What a group of objects is worth (``oid``).
        detections_per_image: Keep so many of the best; by default as many as training set.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Images a pass.
        predictions: Write the detections here, as an Open Images challenge CSV.
        on_progress: Called with the number of images done and in all.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    full = DetectionHead.load(head)
    chosen = full.subset(choose_rows(classes, full.vocabulary, full.groups))
    boxes, labels = truth.load()
    _refuse_disjoint(chosen.vocabulary, boxes)
    _refuse_pixels(boxes)
    store = open_images(images)
    image_ids = _annotated_images(boxes, labels, store)
    target = resolve_device(device)
    model = load_detector(checkpoint, chosen).to(target)
    if detections_per_image is not None:
        model.roi_heads.detections_per_img = detections_per_image
    found: list[ImageDetections] = []
    stream = ((image_id, store.read(image_id)) for image_id in image_ids)
    for detections in detect(model, stream, target, batch_size):
        found.append(detections)
        on_progress(len(found), len(image_ids))
    table = _as_table(found, chosen.vocabulary)
    if predictions is not None:
        write_predictions(predictions, table)
    sizes = ImageSizes.from_mapping({image.image_id: image.size for image in found})
    metrics = _measure(metric, boxes, labels, table, chosen.vocabulary.ids, group_of_weight, sizes)
    return EvaluateReport(metrics, chosen.vocabulary, chosen.groups, len(image_ids))


def evaluate_predictions(
    predictions: Path,
    truth: GroundTruth,
    *,
    metric: Metric = "oid",
    classes: str | None = None,
    head: Path | None = None,
    group_of_weight: float = 1.0,
    image_sizes: str | None = None,
) -> EvaluateReport:
    """Score a file of predictions.

    Args:
        predictions: Open Images challenge CSV: ImageID,LabelName,Score,XMin,XMax,YMin,YMax.
        truth: The annotation files.
        metric: As for :func:`evaluate_detector`.
        classes: The classes to evaluate: a class file, or a group of the head's; without it, all
            that have boxes.
        head: Tells which class is seen and which is novel.
        group_of_weight: What a group of objects is worth (``oid``).
        image_sizes: For ``aewtn-release``, which counts in pixels: ``WIDTHxHEIGHT`` for all images,
            or a file of ``ImageID,height,width`` lines.

    Raises:
        WTNError: For inputs that are bad or do not belong together.
    """
    boxes, labels = truth.load()
    vocabulary, groups = _evaluated_classes(boxes, classes, head)
    _refuse_disjoint(vocabulary, boxes)
    table = read_predictions(predictions)
    if len(table):
        _refuse_other_images(table.image_ids, boxes, predictions)
    sizes = _image_sizes(image_sizes, metric)
    metrics = _measure(metric, boxes, labels, table, vocabulary.ids, group_of_weight, sizes)
    images = len({*boxes.image_ids, *(labels.image_ids if labels is not None else ())})
    return EvaluateReport(metrics, vocabulary, groups, images)


def _refuse_other_images(image_ids: Sequence[str], boxes: BoxTable, where: Path) -> None:
    """Refuse a file that names none of the images with boxes: it would count for nothing."""
    if set(image_ids).isdisjoint(boxes.image_ids):
        raise MismatchError(
            f"none of its images has boxes: {image_ids[0]!r} here, {boxes.image_ids[0]!r} in "
            f"{boxes.origin}",
            where=where,
            mend="An ImageID is the file name without its suffix.",
        )


def _refuse_pixels(boxes: BoxTable) -> None:
    """Refuse boxes in pixels: detections are fractions, so nothing would ever match."""
    far = (boxes.boxes > MAX_FRACTION).any(axis=1)
    if far.any():
        row = int(far.argmax())
        raise DatasetError(
            f"the box {boxes.boxes[row].tolist()} lies far outside the image "
            f"({int(far.sum())} such boxes)",
            where=boxes.where(row),
            mend="Coordinates are fractions of the image's width and height, not pixels.",
        )


def _measure(
    metric: Metric,
    boxes: BoxTable,
    labels: ImageLabelTable | None,
    predictions: PredictionTable,
    class_ids: Sequence[str],
    group_of_weight: float,
    sizes: ImageSizes,
) -> DetectionMetrics:
    if metric == "oid":
        return open_images_metric(
            boxes, labels, predictions, class_ids, group_of_weight=group_of_weight
        )
    return release_metric(boxes, labels, predictions, class_ids, image_sizes=sizes)


def _refuse_disjoint(vocabulary: Vocabulary, boxes: BoxTable) -> None:
    if not any(class_id in vocabulary for class_id in boxes.class_ids):
        raise MismatchError(
            f"none of the {len(vocabulary)} classes to evaluate has a box: {vocabulary.ids[0]!r} "
            f"against {boxes.class_ids[0]!r}",
            where=boxes.origin,
            mend="Classes are joined by id; evaluate other classes, or give their boxes.",
        )


def _annotated_images(
    boxes: BoxTable, labels: ImageLabelTable | None, store: ImageStore
) -> list[str]:
    """Return the ids of all annotated images; nobody knows what is in the others."""
    image_ids = sorted({*boxes.image_ids, *(labels.image_ids if labels is not None else ())})
    missing = [image_id for image_id in image_ids if image_id not in store]
    if missing:
        raise DatasetError(
            f"{len(missing)} of {len(image_ids)} annotated images are missing, "
            f"first {missing[0]!r}",
            where=store.origin,
            mend="Images are named <ImageID>.jpg (or .jpeg, .png, .webp).",
        )
    return image_ids


def _as_table(found: Sequence[ImageDetections], vocabulary: Vocabulary) -> PredictionTable:
    """Return detections as fractions of the images that they were found in."""
    counts = [len(image.found.scores) for image in found]
    sides = [np.array([w, h, w, h], dtype=np.float64) for h, w in (image.size for image in found)]
    boxes = [
        image.found.boxes.double().numpy() / side for image, side in zip(found, sides, strict=True)
    ]
    return PredictionTable(
        image_ids=tuple(image.image_id for image in found),
        image=np.repeat(np.arange(len(found)), counts),
        class_ids=vocabulary.ids,
        label=np.concatenate([image.found.classes.numpy() for image in found]),
        score=np.concatenate([image.found.scores.double().numpy() for image in found]),
        boxes=np.concatenate(boxes).reshape(-1, 4),
    )


def _image_sizes(given: str | None, metric: Metric) -> ImageSizes:
    if metric == "oid":
        return ImageSizes.from_mapping({})
    if given is None:
        raise ConfigError(
            "the metric aewtn-release counts in pixels and needs the images' sizes",
            mend="Give --image-sizes 1024x768, or a file of ImageID,height,width lines.",
        )
    return parse_image_sizes(given)


def _evaluated_classes(
    boxes: BoxTable, classes: str | None, head: Path | None
) -> tuple[Vocabulary, tuple[str, ...]]:
    """Return the classes to evaluate, and the group of each where a head tells it."""
    known = DetectionHead.load(head) if head else None
    if known is not None and classes is not None:
        chosen = known.subset(choose_rows(classes, known.vocabulary, known.groups))
        return chosen.vocabulary, chosen.groups
    if classes in GROUPS:
        raise ConfigError(
            f"which classes are {classes!r} is known to a head only",
            mend="Give --head too, or a file of class ids.",
        )
    if classes is not None:
        vocabulary = read_subset(Path(classes))
    else:
        vocabulary = Vocabulary(boxes.class_ids, boxes.class_ids)
    if known is None:
        return vocabulary, ("unknown",) * len(vocabulary)
    group_of = dict(zip(known.vocabulary.ids, known.groups, strict=True))
    return vocabulary, tuple(group_of.get(class_id, "unknown") for class_id in vocabulary.ids)
