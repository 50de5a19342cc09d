"""What each class of a classifier borrows from the seen classes of a trained detector.

Shapes: C classifier classes, S seen classes.

Its neighbours are given, or judged by how its images look to the classifier, or by its classifier
row. A class that is seen itself borrows from nobody else.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.class_similarity import ClassSimilarity
from pipelines.config import NeighborSettings
from pipelines.config.head import BORROWERS, TRANSFERS
from pipelines.models.heads.base import ClassRows
from pipelines.models.neighbors import DEFAULT_COUNTS, neighbor_shares, visual_shares

JudgedBy = Literal["itself", "table", "images", "rows"]


@dataclass(frozen=True)
class Borrowing:
    """What classes borrow, and by which rule.

    Args:
        shares: ``[C, S]`` what each class takes from each seen class; every row sums to 1.
        judged_by: The rule for each of the C classes.
        neighbors: How classifier rows are compared, with the number of neighbours that there are
            (at most S, by default that of the method), and the share of a row that is borrowed.
        image_lenders: How many seen classes lend to one that is judged by images; None means all.
        with_images: The classes that such images were given of.
    """

    shares: Tensor
    judged_by: tuple[JudgedBy, ...]
    neighbors: NeighborSettings
    image_lenders: int | None
    with_images: Collection[str]

    def counts(self, rows: Iterable[int]) -> dict[str, int]:
        """Return by how many of some classes each rule was used, itself aside."""
        used = Counter(self.judged_by[row] for row in rows)
        return {rule: count for rule, count in used.items() if rule != "itself"}

    def settings_of(self, rules: Collection[str]) -> dict[str, Any]:
        """Return the settings that have an effect where some rules are used, as JSON values."""
        names = {"share"} if self.neighbors.share is not None else set()
        if "rows" in rules:
            names |= {"count", "metric", "rows", "weights"}
            names |= {"temperature"} if self.neighbors.weights == "softmax" else set()
        by_images = {"count": self.image_lenders} if "images" in rules else {}
        return by_images | self.neighbors.model_dump(include=names)

    def blend(self, own: ClassRows, lent: ClassRows) -> ClassRows:
        """Mix rows ``[C, R]`` that classes have of their own with seen rows ``[S, R]`` they borrow.

        ``v_j = (1 - b) v_j + b sum_i a_ji v_i`` with b the share of the settings; seen classes, and
        all classes where there is no such share, keep their own.
        """
        share = self.neighbors.share
        if share is None:
            return own
        parts = torch.tensor([0.0 if rule == "itself" else share for rule in self.judged_by])
        weight = torch.lerp(own.weight, self.shares @ lent.weight, parts[:, None])
        return ClassRows(weight, torch.lerp(own.bias, self.shares @ lent.bias, parts))


def borrows(trained: DetectorCheckpoint) -> bool:
    """Tell whether the method of a detector always borrows for classes without boxes."""
    return trained.config["head"]["method"] in BORROWERS


def may_borrow(trained: DetectorCheckpoint) -> bool:
    """Tell whether the method makes rows of its own, which can be mixed with borrowed ones."""
    return trained.config["head"]["method"] in TRANSFERS


@torch.inference_mode()
def borrow(
    trained: DetectorCheckpoint,
    classifier: ClassifierWeights,
    settings: NeighborSettings | None = None,
    *,
    named: Mapping[str, Sequence[str]] | None = None,
    similarity: ClassSimilarity | None = None,
) -> Borrowing:
    """Choose what each class of a classifier borrows from each seen class.

    Args:
        trained: A detector whose method borrows, or may.
        classifier: Rows ``[C, d]`` in the feature space of training.
        settings: How rows are compared, and how many neighbours lend; None is the method's rule.
        named: The neighbours of some classes, by id; each lends an equal share.
        similarity: Shares in proportion to it, for the classes that it has a row of. All S seen
            classes lend unless ``settings`` give a number.

    Raises:
        MismatchError: If the similarity lacks a seen class.
    """
    partition, ids = trained.partition, classifier.vocabulary.ids
    column = {class_id: place for place, class_id in enumerate(partition.seen)}
    rule = _with_count(settings or NeighborSettings(), trained)
    seen_rows = torch.tensor(trained.classifier.vocabulary.rows(partition.seen))
    shares = neighbor_shares(classifier.weight, seen_rows, trained.classifier.weight, rule)
    judged_by: list[JudgedBy] = ["rows"] * len(ids)
    image_lenders = rule.count if settings and settings.count else None
    if similarity is not None:
        by_images = _visual_shares(similarity, ids, partition.seen, image_lenders)
        for row in by_images.sum(dim=1).nonzero().flatten().tolist():
            shares[row], judged_by[row] = by_images[row], "images"
    lenders = {class_id: (class_id,) for class_id in ids if class_id in column}
    for class_id, neighbors in {**(named or {}), **lenders}.items():
        row = classifier.vocabulary.positions[class_id]
        shares[row] = 0
        shares[row, [column[neighbor] for neighbor in neighbors]] = 1 / len(neighbors)
        judged_by[row] = "itself" if class_id in column else "table"
    with_images = similarity.vocabulary.ids if similarity else ()
    return Borrowing(shares, tuple(judged_by), rule, image_lenders, with_images)


def _with_count(settings: NeighborSettings, trained: DetectorCheckpoint) -> NeighborSettings:
    """Fill in how many neighbours there are; softmax weights take all S unless told."""
    if settings.count is None and settings.weights == "softmax":
        return settings
    wanted = settings.count or DEFAULT_COUNTS[trained.config["head"]["method"]]
    return settings.model_copy(update={"count": min(wanted, len(trained.partition.seen))})


def _visual_shares(
    similarity: ClassSimilarity, ids: Sequence[str], seen: Sequence[str], count: int | None
) -> Tensor:
    """Return shares ``[C, S]``, 0 for a class that had no image or resembles no seen class."""
    present = [row for row, class_id in enumerate(ids) if class_id in similarity.vocabulary]
    of = similarity.vocabulary.rows(ids[row] for row in present)
    probabilities = similarity.similarity[of][:, similarity.classifier.rows(seen)]
    shares = torch.zeros(len(ids), len(seen))
    shares[present] = visual_shares(probabilities, count)
    return shares
