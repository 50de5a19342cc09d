"""The detector's losses: multi-label classification with a hierarchy, and class-agnostic boxes.

Shapes: D detection classes, M sampled RoIs of the whole batch; label 0 is background, label l >= 1
is class l - 1. Source: the release's loss for Open Images (xternalz/AE-WTN, box_head/loss.py); of
the margin: Bansal et al., "Zero-Shot Object Detection", ECCV 2018.

In training each image counts alike, and each RoI alike within its image; in the release each RoI of
a batch counts alike, which is the same where every image has its full number of RoIs. So the loss
of a batch is the mean of the losses of its parts, on however many processes they are.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pipelines.vocabulary import ClassHierarchy, Vocabulary


class LabelTables(NamedTuple):
    """What each label asks of the D classes.

    Args:
        targets: ``[D + 1, D]`` 1 for the class itself and all its ancestors.
        weights: ``[D + 1, D]`` 0 for the class's descendants, which nobody has judged; else 1.
        positives: ``[D + 1]`` one plus the number of ancestors; 1 for background.
    """

    targets: Tensor
    weights: Tensor
    positives: Tensor


def label_tables(vocabulary: Vocabulary, hierarchy: ClassHierarchy) -> LabelTables:
    """Tabulate targets and ignored classes for every label of a vocabulary."""
    size = len(vocabulary)
    targets, weights = torch.zeros(size + 1, size), torch.ones(size + 1, size)
    for row, class_id in enumerate(vocabulary.ids):
        above = [i for i in hierarchy.ancestors_of(class_id) if i in vocabulary]
        below = [i for i in hierarchy.descendants_of(class_id) if i in vocabulary]
        targets[row + 1, [row, *vocabulary.rows(above)]] = 1.0
        weights[row + 1, vocabulary.rows(below)] = 0.0
    return LabelTables(targets, weights, targets.sum(dim=1).clamp(min=1.0))


def image_weights(of_images: list[Tensor]) -> Tensor:
    """Return the weight of each RoI ``[M]``, so that images count alike and weights add up to 1.

    Args:
        of_images: For each image, anything with one entry for each of its RoIs.
    """
    weights = [
        torch.full((len(rois),), 1 / max(len(rois), 1), device=rois.device) for rois in of_images
    ]
    return torch.cat(weights) / len(of_images)


def classification_loss(
    logits: Tensor, labels: Tensor, tables: LabelTables, weights: Tensor | None = None
) -> Tensor:
    """Return twice the mean over RoIs of the summed binary cross-entropy per positive label.

    The factor 2 and the division by the number of positive labels are the release's.

    Args:
        logits: ``[M, D]``.
        labels: ``[M]`` int64, 0 for background.
        tables: Of the D classes.
        weights: ``[M]`` of the RoIs in the mean, adding up to 1; None weighs them alike.
    """
    entropy = F.binary_cross_entropy_with_logits(
        logits, tables.targets[labels], tables.weights[labels], reduction="none"
    )
    return 2 * _mean(entropy.sum(dim=1) / tables.positives[labels], weights)


def margin_loss(
    relative: Tensor,
    labels: Tensor,
    tables: LabelTables,
    margin: float,
    weights: Tensor | None = None,
) -> Tensor:
    """Return the mean hinge ``max(0, margin - S_p + S_n)`` over positives p and negatives n.

    A class's ancestors are positive too, and its descendants neither; background is the positive
    of a background RoI, and a negative of all others. Unlike Bansal et al., who sum over the
    negatives, this is their mean: with hundreds of classes a sum drowns the other losses.

    Args:
        relative: ``[M, D]`` similarity of each class less that of background.
        labels: ``[M]`` int64, 0 for background.
        tables: Of the D classes.
        margin: By which a positive must lead.
        weights: As in :func:`classification_loss`.
    """
    background = (labels == 0)[:, None]
    scores = F.pad(relative, (1, 0))  # [M, 1 + D], background's own at 0
    positive = torch.cat([background, tables.targets[labels] > 0], dim=1)
    judged = F.pad(tables.weights[labels] > 0, (1, 0), value=True)
    most = int(tables.positives[labels].max())  # P: a class and its ancestors are few
    is_positive, chosen = positive.float().topk(most, dim=1)
    hinge = (margin - scores.gather(1, chosen)[:, :, None] + scores[:, None, :]).clamp(min=0)
    pairs = is_positive.bool()[:, :, None] & (judged & ~positive)[:, None, :]  # [M, P, 1 + D]
    means = (hinge * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)
    return _mean(means, weights)


def box_loss(deltas: Tensor, labels: Tensor, regression_targets: Tensor, weights: Tensor) -> Tensor:
    """Return the smooth L1 loss (beta 1) of the foreground's box deltas, a mean over all M RoIs.

    Args:
        deltas: ``[M, 4]``, one box for all classes.
        labels: ``[M]`` int64.
        regression_targets: ``[M, 4]``.
        weights: ``[M]`` of the RoIs in the mean, adding up to 1.
    """
    foreground = torch.where(labels > 0)[0]
    losses = F.smooth_l1_loss(deltas[foreground], regression_targets[foreground], reduction="none")
    return (losses.sum(dim=1) * weights[foreground]).sum()


def _mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of ``[M]`` values with weights that add up to 1, or all the same."""
    return values.mean() if weights is None else (values * weights).sum()
