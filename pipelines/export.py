"""Stage 3: turn classifier rows into the rows of a plain detection head, offline.

Shapes: C classifier classes, D detection classes, K chosen classes, d classifier width, R RoI
feature width.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pipelines.artifacts import ClassifierWeights, DetectionHead, DetectorCheckpoint
from pipelines.class_similarity import ClassSimilarity
from pipelines.config import HeadPrecision, NeighborSettings
from pipelines.data.class_choice import choose_rows
from pipelines.data.neighbor_sources import NeighborSources
from pipelines.errors import ConfigError, MismatchError
from pipelines.models.borrowing import Borrowing, borrow, borrows, may_borrow
from pipelines.models.offline import head_of
from pipelines.provenance import parent, provenance_of
from pipelines.storage import refuse_to_replace
from pipelines.vocabulary import Vocabulary

_NAMED = 3  # classes, in a message


@dataclass(frozen=True)
class ExportReport:
    """What was exported.

    Args:
        head: The file.
        classes: K.
        width: R.
        groups: Number of classes in each group.
        method: The rule that made the rows.
        borrowed: How many classes without boxes borrow from neighbours of a ``table``, by the looks
            of ``images``, or by classifier ``rows``; empty if the method borrows nothing.
        neighbors: The settings that had an effect, with the number of neighbours that there were;
            see :meth:`pipelines.models.borrowing.Borrowing.settings_of`.
        precision: How the rows are stored.
        megabytes: Size of the file, in units of a million bytes.
    """

    head: Path
    classes: int
    width: int
    groups: dict[str, int]
    method: str
    borrowed: dict[str, int]
    neighbors: dict[str, Any]
    precision: HeadPrecision
    megabytes: float


def export_head(
    checkpoint: Path,
    output: Path,
    *,
    classes: str = "all",
    classifier: Path | None = None,
    neighbors: NeighborSettings | None = None,
    neighbor_table: Path | None = None,
    neighbor_classes: Path | None = None,
    similarity: Path | None = None,
    precision: HeadPrecision = "float32",
) -> ExportReport:
    """Write a head of one matrix, one bias and one box layer.

    The neighbours are those that a class without boxes borrows from. In the methods that borrow
    (``faster-rcnn`` and ``lsda``) they follow the method unless told; a transfer network mixes its
    rows with theirs only if ``neighbors`` give a share.

    Args:
        checkpoint: A trained detector.
        output: The head file.
        classes: ``all``, ``seen``, ``novel``, ``other``, ``detection``, or a class file.
        classifier: Take the rows from this file instead of the one used in training; it must be of
            the same feature space. They are standardised with the statistics of training.
        neighbors: How classifier rows are compared, and how many neighbours lend.
        neighbor_table: CSV of the neighbours of some classes, see
            :mod:`pipelines.data.neighbor_table`; other classes have computed ones.
        neighbor_classes: The class file that a table of the official release counts rows of.
        similarity: Made by ``wtn similarity``: classes borrow in proportion to it. Every chosen
            class must have had images, unless ``neighbors`` ask for softmax weights, which are the
            weights-only proxy of such a similarity and serve the others.
        precision: How the class rows are stored; bias and box layer stay float32.

    Raises:
        ConfigError: If no class is chosen, or neighbours contradict, or the method borrows nothing
            or all, or a weight is too large for the precision.
        MismatchError: If a class is unknown or had no image, a neighbour has no boxes, the
            classifier is of another width or space, or no plain head serves the method (``zsd``).
        DatasetError: If the table or the class file is bad.
        ArtifactError: If another file is bad.
    """
    sources = NeighborSources(neighbors, neighbor_table, neighbor_classes, similarity)
    sources.refuse_contradictions()
    refuse_to_replace(output, [checkpoint, classifier, *sources.files.values()])
    trained = DetectorCheckpoint.load(checkpoint)
    method = str(trained.config["head"]["method"])
    parents = [parent("checkpoint", checkpoint, trained.provenance)]
    rows = trained.classifier
    if classifier is not None:
        rows = _load_rows(classifier, trained.classifier)
        parents.append(parent("classifier", classifier, rows.provenance))
    borrowing = _borrow(trained, rows, sources, checkpoint)
    full = head_of(trained, rows, borrowing)
    chosen = choose_rows(classes, full.vocabulary, full.groups)
    borrowed = _count_rules(borrowing, rows.vocabulary, chosen, sources) if borrowing else {}
    used = borrowing.settings_of(borrowed) if borrowing and borrowed else {}
    facts = {"borrowed": borrowed, "neighbors": used} if borrowed else {}
    parents += [parent(role, path) for role, path in sources.files.items()]
    head = replace(
        full.subset(chosen),
        provenance=provenance_of(*parents, method=method, **facts),
        precision=precision,
    )
    head.save(output)
    return _report(head, output, method, borrowed, used)


def _report(
    head: DetectionHead,
    output: Path,
    method: str,
    borrowed: dict[str, int],
    neighbors: dict[str, Any],
) -> ExportReport:
    return ExportReport(
        head=output,
        classes=len(head.vocabulary),
        width=head.weight.shape[1],
        groups=dict(Counter(head.groups)),
        method=method,
        borrowed=borrowed,
        neighbors=neighbors,
        precision=head.precision,
        megabytes=output.stat().st_size / 1e6,
    )


def _borrow(
    trained: DetectorCheckpoint,
    rows: ClassifierWeights,
    sources: NeighborSources,
    checkpoint: Path,
) -> Borrowing | None:
    """Return what the classes of a classifier borrow, or None if they borrow nothing."""
    share = sources.settings.share if sources.settings else None
    _refuse_to_lend(trained, share, bool(sources.settings or sources.files), checkpoint)
    if share is None and not borrows(trained):
        return None
    named = sources.read_table(rows.vocabulary, trained.partition.seen)
    similarity = ClassSimilarity.load(sources.similarity) if sources.similarity else None
    try:
        return borrow(trained, rows, sources.settings, named=named, similarity=similarity)
    except MismatchError as error:
        raise MismatchError(
            f"the similarity lacks a seen class: {error.what}",
            where=sources.similarity,
            mend="Make it with a classifier that knows all classes of the detector.",
        ) from error


def _refuse_to_lend(
    trained: DetectorCheckpoint, share: float | None, is_given: bool, checkpoint: Path
) -> None:
    """Raise ConfigError if neighbours, or the share of them, would have no effect."""
    method = trained.config["head"]["method"]
    if borrows(trained):
        if share is not None:
            raise ConfigError(
                f"a share is given, but under {method} a class without boxes has no row of its "
                "own to mix with",
                where=checkpoint,
                mend="Leave --neighbor-share out.",
            )
    elif is_given and (share is None or not may_borrow(trained)):
        say = "Say how much with --neighbor-share, or leave" if may_borrow(trained) else "Leave"
        raise ConfigError(
            f"neighbours are given, but {method} borrows nothing: it makes the row of every "
            "class from its classifier row",
            where=checkpoint,
            mend=f"{say} the options about neighbours out.",
        )


def _count_rules(
    borrowing: Borrowing, classifier: Vocabulary, chosen: Sequence[int], sources: NeighborSources
) -> dict[str, int]:
    """Return by how many chosen classes each rule was used; refuse a rule nobody asked for."""
    of_classifier = [row for row in chosen if row < len(classifier)]  # the rest have boxes only
    unseen = [row for row in of_classifier if borrowing.judged_by[row] == "rows"]
    if unseen and sources.similarity and borrowing.neighbors.weights != "softmax":
        raise MismatchError(
            _say_unseen(classifier.subset(unseen), borrowing.with_images),
            where=sources.similarity,
            mend="Choose the other classes with --classes, or let these borrow by their classifier "
            "rows, which is a proxy: --neighbor-weights softmax.",
        )
    return borrowing.counts(of_classifier)


def _say_unseen(classes: Vocabulary, with_images: Collection[str]) -> str:
    """Say which classes had no image, and whose images looked like no seen class."""
    names: dict[str, list[str]] = {"was given": [], "looked like a seen class": []}
    for class_id, name in zip(classes.ids, classes.names, strict=True):
        names["looked like a seen class" if class_id in with_images else "was given"].append(name)
    return "; ".join(f"no image of {_some(of)} {what}" for what, of in names.items() if of)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _load_rows(path: Path, trained: ClassifierWeights) -> ClassifierWeights:
    """Read rows, and refuse those that act on other features than those of training."""
    given = ClassifierWeights.load(path)
    if given.weight.shape[1] != trained.weight.shape[1]:
        raise MismatchError(
            f"its rows are {given.weight.shape[1]} wide, those of training "
            f"{trained.weight.shape[1]}",
            where=path,
            mend="Use rows of the same classifier that the detector was trained with.",
        )
    if given.feature_space == trained.feature_space or _share_equal_rows(trained, given):
        return given
    raise MismatchError(
        f"its rows act on other features (fingerprint {given.feature_space[:17]}, training had "
        f"{trained.feature_space[:17]})",
        where=path,
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
