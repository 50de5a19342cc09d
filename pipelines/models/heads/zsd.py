"""Zero-shot detection: features are projected among the class rows, and the angle scores.

Shapes: D detection classes, S seen, K any number of classes, d width of the rows, R RoI feature
width, M RoIs. Source: Bansal et al., "Zero-Shot Object Detection", ECCV 2018.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import HeadSettings
from pipelines.models.heads.base import ClassRows, ClassRowSource, SeenAndOtherHead, prior_bias
from pipelines.models.losses import LabelTables

PROJECTION_STD = 0.01


class ZSDHead(SeenAndOtherHead):
    """``logit_j = scale * cos(W x, w_j) + b``, with classifier rows or word vectors as ``w_j``.

    Other classes have no vector and learn one. Two ways to train (``zsd.mode``):

    - ``sigmoid``: scale and bias are learned, with the loss of all methods.
    - ``margin``: the max-margin loss of Bansal et al. (Eq. 2), background being the fixed vector
      (1, 0, ..., 0) of their SB variant; then ``logit_j = scale * (cos_j - cos_background)``.

    Args:
        source: The rows and how they meet the detection classes.
        roi_width: R.
        settings: Mode, scale, margin and prior.
    """

    _rows: Tensor
    _background: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, settings: HeadSettings) -> None:
        width = source.rows.shape[1]
        super().__init__(source, width, settings.prior)
        self.project = nn.Linear(roi_width, width, bias=False)
        nn.init.normal_(self.project.weight, std=PROJECTION_STD)
        self._settings = settings.zsd
        learned = settings.zsd.mode == "sigmoid"
        bias = prior_bias(settings.prior) if learned else 0.0
        self.log_scale = nn.Parameter(torch.tensor(settings.zsd.scale).log(), requires_grad=learned)
        self.common_bias = nn.Parameter(torch.full((1,), bias), requires_grad=learned)
        self.register_buffer("_rows", source.rows[source.seen_rows], persistent=False)
        background = F.one_hot(torch.tensor(0), width).float()
        self.register_buffer("_background", background, persistent=False)

    @property
    def projection(self) -> Tensor:
        """The projection ``[d, R]`` of the features."""
        return self.project.weight

    def seen_class_rows(self) -> ClassRows:
        """Return the rows of the seen classes, ``[S, d]``."""
        return self.class_rows(self._rows)

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Return rows of length ``scale`` (``[K, d]``), which meet projected features."""
        vectors = F.normalize(rows, dim=1)
        if self._settings.mode == "margin":
            vectors = vectors - self._background
        return ClassRows(self.log_scale.exp() * vectors, self.common_bias.expand(len(rows)))

    def losses(self, x: Tensor, labels: Tensor, tables: LabelTables) -> dict[str, Tensor]:
        """Return the classification loss of the mode."""
        if self._settings.mode == "sigmoid":
            return super().losses(x, labels, tables)
        relative = self(x) / self.log_scale.exp()  # [M, D], cos_j - cos_background
        loss = margin_loss(relative, labels, tables, self._settings.margin)
        return {"loss_classifier": loss}


def margin_loss(relative: Tensor, labels: Tensor, tables: LabelTables, margin: float) -> Tensor:
    """Return the mean hinge between each positive and each negative class of a RoI.

    A class's ancestors are positive too, and its descendants neither; background is the positive
    of a background RoI, and a negative of all others. Unlike Bansal et al. (Eq. 2), who sum over
    the negatives, this is their mean: with hundreds of classes a sum drowns the other losses.

    Args:
        relative: ``[M, D]`` similarity of each class less that of background.
        labels: ``[M]`` int64, 0 for background.
        tables: Of the D classes.
        margin: By which a positive must lead.
    """
    background = labels == 0
    scores = torch.cat([torch.zeros_like(relative[:, :1]), relative], dim=1)  # [M, 1 + D]
    positive = torch.cat([background[:, None], tables.targets[labels] > 0], dim=1)
    judged = torch.cat([torch.ones_like(background)[:, None], tables.weights[labels] > 0], dim=1)
    negative = judged & ~positive
    most = int(positive.sum(dim=1).max())  # P: a class and its ancestors are few
    is_positive, chosen = positive.float().topk(most, dim=1)
    hinge = (margin - scores.gather(1, chosen)[:, :, None] + scores[:, None, :]).clamp(min=0)
    pairs = is_positive.bool()[:, :, None] & negative[:, None, :]  # [M, P, 1 + D]
    return ((hinge * pairs).sum(dim=(1, 2)) / pairs.sum(dim=(1, 2)).clamp(min=1)).mean()
