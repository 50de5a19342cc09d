"""From a trained detector to the rows of a plain detection head, for any classes.

Shapes: C classifier classes, D detection classes, S seen classes, d classifier width, R RoI feature
width.
"""

from dataclasses import replace
from pathlib import Path

import torch

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.errors import ConfigError
from pipelines.models.borrowing import Borrowing
from pipelines.models.checkpoints import restore_class_head
from pipelines.models.detector_folder import read_folder
from pipelines.models.state_names import BOX_LAYER
from pipelines.provenance import parent, provenance_of
from pipelines.vocabulary import ClassPartition, Vocabulary


def load_head(checkpoint: Path, head: Path | None = None) -> DetectionHead:
    """Read a head file, or that of a detector's folder, or compute that of a checkpoint.

    A computed head is of all classes of the classifier of training; it belongs to its checkpoint as
    an exported one does, and serves every method.

    Raises:
        ConfigError: If a head is given with a folder.
        ArtifactError: If a file is bad.
    """
    if checkpoint.is_dir():
        if head is not None:
            raise ConfigError(
                "a detector folder has its head in it", where=checkpoint, mend="Leave --head away."
            )
        return read_folder(checkpoint).head
    if head is not None:
        return DetectionHead.load(head)
    trained = DetectorCheckpoint.load(checkpoint)
    made_from = provenance_of(parent("checkpoint", checkpoint, trained.provenance))
    return replace(head_of(trained, trained.classifier), provenance=made_from)


@torch.no_grad()  # not inference mode: a detector loads its weights into these tensors
def head_of(
    trained: DetectorCheckpoint, classifier: ClassifierWeights, borrowing: Borrowing | None = None
) -> DetectionHead:
    """Return the head of a classifier's classes, followed by those that have boxes only.

    Of the classifier of training, seen classes take the very rows that they trained with; every
    other class of a classifier is transferred from its row. A seen class keeps its bias.

    Args:
        trained: The detector.
        classifier: Rows ``[C, d]`` in the feature space of training.
        borrowing: What each class borrows from each seen class; None leaves it to the method.
    """
    head, partition = restore_class_head(trained), trained.partition
    learned = head.detection_rows()
    rows = head.class_rows(classifier.weight, borrowing.shares if borrowing else None)
    if borrowing:
        rows = borrowing.blend(rows, learned.of(trained.detection.rows(partition.seen)))
    weight, bias = (part.clone() for part in rows)
    known = [class_id for class_id in partition.seen if class_id in classifier.vocabulary]
    at, seen = classifier.vocabulary.rows(known), learned.of(trained.detection.rows(known))
    bias[at] = seen.bias
    if classifier is trained.classifier:
        weight[at] = seen.weight
    vocabulary = head_classes(classifier.vocabulary, trained.detection, partition)
    other = learned.of(trained.detection.rows(vocabulary.ids[len(classifier.vocabulary) :]))
    return DetectionHead(
        weight=torch.cat([weight, other.weight]),
        bias=torch.cat([bias, other.bias]),
        box_weight=trained.model[f"{BOX_LAYER}weight"],
        box_bias=trained.model[f"{BOX_LAYER}bias"],
        vocabulary=vocabulary,
        groups=tuple(partition.group_of(class_id) for class_id in vocabulary.ids),
        projection=None if head.projection is None else head.projection.detach(),
    )


def head_classes(
    classifier: Vocabulary, detection: Vocabulary, partition: ClassPartition
) -> Vocabulary:
    """Return the classes of a head.

    Args:
        classifier: Its classes come first.
        detection: The D classes of training.
        partition: Of training; the other classes that the classifier lacks come last.
    """
    others = detection.subset(
        detection.rows(class_id for class_id in partition.other if class_id not in classifier)
    )
    return Vocabulary(classifier.ids + others.ids, classifier.names + others.names)
