"""Plain Faster R-CNN: a trained row for every class with boxes, a borrowed one for the rest.

Shapes: S seen classes, K any number of classes, d classifier width, R RoI feature width.
"""

from torch import Tensor

from pipelines.models.heads.base import ClassRows, ClassRowSource, ClassWeightHead, prior_linear
from pipelines.models.neighbors import default_shares


class LinearHead(ClassWeightHead):
    """Plain Faster R-CNN; a class without boxes borrows the row of its nearest seen class.

    That is "Faster R-CNN (NN)" of Kuen et al., section 5.2; without other shares, nearest means
    the highest cosine between raw classifier rows.

    Args:
        source: The classifier rows and how they meet the detection classes.
        roi_width: R.
        prior: Score of every class at the start.
    """

    _seen: Tensor
    _rows: Tensor
    _seen_rows: Tensor

    def __init__(self, source: ClassRowSource, roi_width: int, prior: float) -> None:
        super().__init__()
        self.cls_score = prior_linear(roi_width, len(source.seen) + len(source.other), prior)
        for name in ("seen", "rows", "seen_rows"):
            self.register_buffer(f"_{name}", getattr(source, name), persistent=False)

    def detection_rows(self) -> ClassRows:
        """Return the trained rows."""
        return ClassRows(self.cls_score.weight, self.cls_score.bias)

    def class_rows(self, rows: Tensor, shares: Tensor | None = None) -> ClassRows:
        """Return for each row the mean of the trained rows that it borrows from, by its shares."""
        if shares is None:
            shares = default_shares("faster-rcnn", rows, self._seen_rows, self._rows)
        weight, bias = self.cls_score.weight[self._seen], self.cls_score.bias[self._seen]
        return ClassRows(shares @ weight, shares @ bias)
