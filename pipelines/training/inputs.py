"""What a training starts from, read and checked.

Shapes: I images with boxes, C classifier classes, D detection classes, d classifier width.
"""

from typing import NamedTuple

import numpy as np

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.sources import ClassifierSource, read_source
from pipelines.config import DataSettings, TrainSettings
from pipelines.data.annotation_files import load_annotations
from pipelines.data.annotations import Annotations
from pipelines.data.bad_images import SkippingDataset
from pipelines.data.detection import DetectionDataset
from pipelines.data.image_order import Groups
from pipelines.data.images import ImageStore, open_images
from pipelines.data.index import is_index, open_index
from pipelines.data.loader import TrainingLoader
from pipelines.data.samplers import TrainingSampler
from pipelines.distributed import ALONE, Team
from pipelines.errors import ConfigError, MismatchError
from pipelines.training.image_order import image_groups, image_order, images_waiting
from pipelines.vocabulary import ClassHierarchy, ClassPartition, Vocabulary

_NAMED = 5  # classes, in a message


class TrainInputs(NamedTuple):
    """Everything that a training reads before its first step.

    Args:
        classifier: What the detector learns from.
        split: The boxes and what is known about their images.
        images: Where the pixels are.
        detection: The D classes.
        hierarchy: Above them.
        partition: Which of them the classifier knows.
        dataset: Images with their boxes.
        backbone: Initial weights, or None.
        groups: Of each image of the dataset, by its shape; None if a step takes any.
    """

    classifier: ClassifierWeights
    split: Annotations
    images: ImageStore
    detection: Vocabulary
    hierarchy: ClassHierarchy
    partition: ClassPartition
    dataset: DetectionDataset
    backbone: ClassifierSource | None
    groups: Groups | None


def load_inputs(settings: TrainSettings) -> TrainInputs:
    """Read what the settings name.

    Images are grouped by the sizes in the index. Where it has none, as where the boxes are a CSV,
    the headers of the images are read if there are at most 20,000 of them. The images of a larger
    dataset without sizes are not grouped: prepare an index of it, which knows them. Images of
    unknown size are one more group.

    Raises:
        ConfigError: If nothing says where the images are.
        DatasetError: If a file or an image is bad or missing.
        ArtifactError: If the classifier or an index is not complete.
        MismatchError: If they do not belong together.
    """
    data = settings.data
    classifier = ClassifierWeights.load(settings.classifier)
    split = _load_split(data)
    detection = _detection_vocabulary(data, split, classifier.vocabulary)
    partition = ClassPartition.of(classifier.vocabulary, detection)
    _refuse_mismatch(settings, classifier, detection, partition)
    images = _training_images(data)
    weights = settings.backbone.weights
    dataset = DetectionDataset(images, split.boxes, detection)
    return TrainInputs(
        classifier=classifier,
        split=split,
        images=images,
        detection=detection,
        hierarchy=_hierarchy(data, split, detection),
        partition=partition,
        dataset=dataset,
        backbone=read_source(weights) if weights else None,
        groups=image_groups(dataset, images, split) if data.group_by_aspect_ratio else None,
    )


def training_loader(
    inputs: TrainInputs,
    settings: TrainSettings,
    start: int = 0,
    team: Team = ALONE,
    *,
    pin_memory: bool = False,
) -> TrainingLoader:
    """Return this process's share of the batches, but for those of the first ``start`` steps.

    Args:
        inputs: What was read.
        settings: Of the training.
        start: Steps that were taken already.
        team: The processes that share each step.
        pin_memory: Whether a GPU takes the batches.
    """
    data = settings.data
    order = image_order(inputs.dataset, inputs.images, data)
    sampler = TrainingSampler(
        order,
        batch_size=settings.schedule.batch_size,
        iterations=settings.schedule.iterations,
        flip=data.horizontal_flip,
        seed=settings.seed,
        start=start,
        rank=team.rank,
        ranks=team.size,
        groups=inputs.groups,
    )
    read = inputs.dataset.reading_ahead(images_waiting(order, settings, team.size))
    dataset = SkippingDataset(read, inputs.groups) if data.bad_images == "skip" else read
    return TrainingLoader(dataset, sampler, data.workers, pin_memory=pin_memory)


def _load_split(data: DataSettings) -> Annotations:
    split = load_annotations(
        data.boxes, hierarchy=data.hierarchy, classes=data.classes, policy=data.box_policy
    )
    if split.expanded:
        raise MismatchError(
            "its boxes are expanded along the hierarchy, as the ground truth of an evaluation is",
            where=data.boxes,
            mend="Train on boxes that are not: the loss knows the hierarchy.",
        )
    return split


def _detection_vocabulary(
    data: DataSettings, split: Annotations, classifier: Vocabulary
) -> Vocabulary:
    """Return the classes of the settings' list, or those that have a box, in the split's order."""
    if data.classes is not None:
        return split.vocabulary
    with_boxes = {split.boxes.class_ids[label] for label in np.unique(split.boxes.label)}
    names = classifier.name_of | (split.vocabulary.name_of if is_index(data.boxes) else {})
    ids = tuple(class_id for class_id in split.vocabulary.ids if class_id in with_boxes)
    return Vocabulary(ids, tuple(names.get(class_id, class_id) for class_id in ids))


def _refuse_mismatch(
    settings: TrainSettings,
    weights: ClassifierWeights,
    detection: Vocabulary,
    partition: ClassPartition,
) -> None:
    classifier = weights.vocabulary
    if len(detection) and not partition.seen:
        raise MismatchError(
            f"none of the {len(detection)} classes with boxes is among the classifier's "
            f"{len(classifier)}: {detection.ids[0]!r} against {classifier.ids[0]!r}",
            where=settings.classifier,
            mend="Classes are joined by id; name the rows with: wtn extract-weights --classes",
        )
    if len(classifier) < 2 and settings.head.transfers and settings.head.standardizes:
        raise MismatchError(
            f"{settings.head.method} standardises over all classes, and there is only one",
            where=settings.classifier,
            mend="Use a classifier with more classes, or --method wtn.",
        )
    _refuse_rows(settings, weights)


def _refuse_rows(settings: TrainSettings, weights: ClassifierWeights) -> None:
    """Refuse rows ``[C, d]`` that the method can do nothing with."""
    width = weights.weight.shape[1]
    if settings.head.adds_to_rows and width != settings.detector.roi_width:
        raise MismatchError(
            f"{settings.head.method} adds to the classifier's rows, which are {width} wide, where "
            f"RoI features are {settings.detector.roi_width}",
            where=settings.classifier,
            mend=f"Train with --set detector.roi_width={width}.",
        )
    empty = (~weights.weight.any(dim=1)).nonzero().flatten().tolist()
    if settings.head.method == "zsd" and empty:
        ids = weights.vocabulary.subset(empty).ids
        more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
        raise MismatchError(
            f"zsd scores by the angle to a class's row, and {len(ids)} of {len(weights.weight)} "
            f"rows are all zero: {', '.join(ids[:_NAMED])}{more}",
            where=settings.classifier,
            mend="Extract it again without these classes; of word vectors, extract-weights "
            "--missing skip leaves out what has none.",
        )


def _training_images(data: DataSettings) -> ImageStore:
    if data.images:
        return open_images(*data.images)
    images = open_index(data.boxes).images() if is_index(data.boxes) else None
    if images is None:
        raise ConfigError(
            "nothing says where the images are",
            where=data.boxes,
            mend="Give data.images or --images; an index made with --images knows its own.",
        )
    return images


def _hierarchy(data: DataSettings, split: Annotations, detection: Vocabulary) -> ClassHierarchy:
    if split.hierarchy is None:
        return ClassHierarchy.flat()
    official = data.hierarchy_mode == "official"
    return ClassHierarchy.from_tree(split.hierarchy, detection.ids, official=official)
