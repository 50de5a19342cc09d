"""Zero-shot detection: features are projected among the class rows, and the angle scores.

Shapes: D detection classes, K any number of classes, d width of the rows, R RoI feature width,
M RoIs. Source: Bansal et al., "Zero-Shot Object Detection", ECCV 2018.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipelines.config import HeadSettings
from pipelines.models.heads.base import ClassRows, ClassRowSource, ClassWeightHead, prior_bias
from pipelines.models.losses import LabelTables, margin_loss

PROJECTION_STD = 0.01


class ZSDHead(ClassWeightHead):
    """``logit_j = scale * cos(P x, w_j) + b``, with classifier rows or word vectors as ``w_j``.

    Only the projection P is trained for seen classes; other classes have no row, and learn one.
    Two ways to train (``zsd.mode``):

    - ``sigmoid``: scale and bias are learned, with the loss of all methods.
    - ``margin``: the max-margin loss of Bansal et al.; background is the fixed vector b = (1, 0,
      ..., 0) of their SB variant, and ``logit_j = scale * (cos(P x, w_j) - cos(P x, b))``.

    Args:
        source: The rows and how they meet the detection classes.
        roi_width: R.
        settings: Mode, scale, margin and prior.
    """

    _rows: Tensor
    _order: Tensor
    _background: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, settings: HeadSettings) -> None:
        super().__init__()
        self._settings = settings.zsd
        width = source.rows.shape[1]
        self.project = nn.Linear(roi_width, width, bias=False)
        nn.init.normal_(self.project.weight, std=PROJECTION_STD)
        self.other_rows = nn.Parameter(F.normalize(torch.randn(len(source.other), width), dim=1))
        learned = settings.zsd.mode == "sigmoid"
        bias = prior_bias(settings.prior) if learned else 0.0
        self.log_scale = nn.Parameter(torch.tensor(settings.zsd.scale).log(), requires_grad=learned)
        self.common_bias = nn.Parameter(torch.full((1,), bias), requires_grad=learned)
        order = torch.cat([source.seen, source.other]).argsort()
        self.register_buffer("_rows", source.rows[source.seen_rows], persistent=False)
        self.register_buffer("_order", order, persistent=False)
        self.register_buffer("_background", torch.eye(1, width)[0], persistent=False)

    @property
    def projection(self) -> Tensor:
        """The projection ``[d, R]`` of the features."""
        return self.project.weight

    def detection_rows(self) -> ClassRows:
        """Return the rows of seen and of other classes, ``[D, d]``."""
        return self.class_rows(torch.cat([self._rows, self.other_rows])[self._order])

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Return rows ``[K, d]`` of length ``scale``, which meet projected features."""
        vectors = F.normalize(rows, dim=1)
        if self._settings.mode == "margin":
            vectors = vectors - self._background
        return ClassRows(self.log_scale.exp() * vectors, self.common_bias.expand(len(rows)))

    def losses(
        self, x: Tensor, labels: Tensor, tables: LabelTables, weights: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the classification loss of the mode."""
        if self._settings.mode == "sigmoid":
            return super().losses(x, labels, tables, weights)
        with torch.autocast(x.device.type, enabled=False):
            relative = self(x.float()) / self.log_scale.exp()
            loss = margin_loss(relative, labels, tables, self._settings.margin, weights)
        return {"loss_classifier": loss}
