"""Stage 3: turn classifier rows into the rows of a plain detection head, offline.

Shapes: C classifier classes, D detection classes, K chosen classes, d classifier width, R RoI
feature width.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.data.class_choice import choose_rows
from pipelines.errors import MismatchError
from pipelines.models.offline import head_of
from pipelines.provenance import parent, provenance_of
from pipelines.storage import refuse_to_replace


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Args:
        head: The file.
        classes: K.
        width: R.
        groups: Number of classes in each group.
        method: The rule that made the rows.
    """

    head: Path
    classes: int
    width: int
    groups: dict[str, int]
    method: str


def export_head(
    checkpoint: Path, output: Path, *, classes: str = "all", classifier: Path | None = None
) -> ExportReport:
    """Write a head of one matrix, one bias and one box layer.

    Args:
        checkpoint: A trained detector.
        output: The head file.
        classes: ``all``, ``seen``, ``novel``, ``other``, ``detection``, or a class file.
        classifier: Take the rows from this file instead of the one used in training; it must be of
            the same feature space. They are standardised with the statistics of training.

    Raises:
        MismatchError: If a class is unknown, or the classifier is of another width or space.
        ArtifactError: If a file is bad.
    """
    refuse_to_replace(output, [checkpoint, classifier])
    trained = DetectorCheckpoint.load(checkpoint)
    parents = [parent("checkpoint", checkpoint, trained.provenance)]
    rows = trained.classifier
    if classifier is not None:
        rows = ClassifierWeights.load(classifier)
        _check_same_space(trained.classifier, rows, classifier)
        parents.append(parent("classifier", classifier, rows.provenance))
    full = head_of(trained, rows)
    chosen = full.subset(choose_rows(classes, full.vocabulary, full.groups))
    method = str(trained.config["head"]["method"])
    DetectionHead(**vars(chosen) | {"provenance": provenance_of(*parents, method=method)}).save(
        output
    )
    counts = {group: chosen.groups.count(group) for group in dict.fromkeys(chosen.groups)}
    return ExportReport(output, len(chosen.vocabulary), chosen.weight.shape[1], counts, method)


def _check_same_space(trained: ClassifierWeights, given: ClassifierWeights, where: Path) -> None:
    """Refuse rows that act on other features than those of training."""
    if given.weight.shape[1] != trained.weight.shape[1]:
        raise MismatchError(
            f"its rows are {given.weight.shape[1]} wide, those of training "
            f"{trained.weight.shape[1]}",
            where=where,
            mend="Use rows of the same classifier that the detector was trained with.",
        )
    if given.feature_space == trained.feature_space or _share_equal_rows(trained, given):
        return
    raise MismatchError(
        f"its rows act on other features (fingerprint {given.feature_space[:17]}, training had "
        f"{trained.feature_space[:17]})",
        where=where,
        mend="If they are new rows of the same frozen network, say so when you extract them: "
        "wtn extract-weights SOURCE --feature-space-of CLASSIFIER",
    )


def _share_equal_rows(trained: ClassifierWeights, given: ClassifierWeights) -> bool:
    """Tell whether a bare matrix has classes in common with training, all with equal rows.

    Two bodies that differ are two spaces, whatever their rows; a bare matrix shows no body.
    """
    if trained.feature_space.startswith("body:") and given.feature_space.startswith("body:"):
        return False
    shared = [class_id for class_id in given.vocabulary.ids if class_id in trained.vocabulary]
    return bool(shared) and torch.equal(
        given.weight[given.vocabulary.rows(shared)],
        trained.weight[trained.vocabulary.rows(shared)],
    )
