"""The detector as one traceable graph: an image in, detections out, no step that depends on data.

Shapes: H, W height and width of the image in pixels, M RoIs, K classes, R RoI feature width, n
detections, L pyramid levels.

Torchvision's Faster R-CNN branches on values, which ``torch.export`` and ONNX cannot follow. Here
the same modules with the same weights are called in a straight line. RoIs are ordered by pyramid
level, so that each is pooled from its own level only.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.ops import roi_align
from torchvision.ops.feature_pyramid_network import ExtraFPNBlock

from pipelines.config import ArchitectureSettings
from pipelines.models.box_head import FINEST_LEVEL
from pipelines.models.roi_heads import MAX_LOG_SCALE

# Boxes [M, 4], scores [K, M], IoU, what a score must exceed, how many are wanted -> pairs [n, 2] of
# class and box, best first; of equal scores the lower class comes first.
MultiClassNMS = Callable[[Tensor, Tensor, float, float, int], Tensor]

SIZE_DIVISOR = 32  # of the padded image, torchvision's GeneralizedRCNNTransform
LEAST_SIDE = 65  # in pixels: a pyramid level of one row is traced apart from larger ones
FILLERS = 2  # of RoIs: a tensor of 0 or 1 rows is traced apart from larger ones
SMALLEST_SIDE = 1e-3  # of a proposal in pixels, torchvision's RegionProposalNetwork
CANONICAL_SCALE, CANONICAL_LEVEL = 224.0, 4.0  # FPN paper, equation 1
LEVEL_EPSILON = 1e-6  # torchvision's LevelMapper


class _Subsampling(ExtraFPNBlock):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's LastLevelMaxPool, whose window is one pixel, for images of any size.

    A pooling asks in tracing whether its input's size is even, and then serves no odd one.
    """

    def forward(
        self, results: list[Tensor], x: list[Tensor], names: list[str]
    ) -> tuple[list[Tensor], list[str]]:
        """Add a level of every second pixel of the last."""
        return [*results, results[-1][:, :, ::2, ::2]], [*names, "pool"]


class DetectorGraph(nn.Module):
    """A plain detector of one image.

    Args:
        model: In evaluation mode.
        nms: Suppression within each class.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, model: GeneralizedRCNN, nms: MultiClassNMS) -> None:
        super().__init__()
        self.backbone, self.rpn_head = deepcopy(model.backbone), model.rpn.head
        self.backbone.fpn.extra_blocks = _Subsampling()
        self.box_head = model.roi_heads.box_head
        self.bbox_pred, self.class_head = model.roi_heads.bbox_pred, model.roi_heads.class_head
        self._nms = nms
        for level, cells in enumerate(model.rpn.anchor_generator.cell_anchors):
            self.register_buffer(f"cells_{level}", cells, persistent=False)
        for name in ("mean", "std"):
            statistic = torch.tensor(getattr(model.transform, f"image_{name}"))
            self.register_buffer(name, statistic.reshape(1, 3, 1, 1), persistent=False)
        self._proposals = model.rpn._post_nms_top_n["testing"]
        self._rpn_iou = model.rpn.nms_thresh
        self._coder_weights = model.roi_heads.box_coder.weights
        pool = model.roi_heads.box_roi_pool
        self._levels, self._pool_size = len(pool.featmap_names), pool.output_size
        self._sampling_ratio = pool.sampling_ratio
        self._score_threshold = float(model.roi_heads.score_thresh)
        self._nms_iou = model.roi_heads.nms_thresh
        self._limit = model.roi_heads.detections_per_img

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detect in an image ``[1, 3, H, W]``, RGB in 0..1, resized as in training.

        Returns:
            Boxes ``[n, 4]`` in pixels of the image, scores ``[n]`` descending, and class rows
            ``[n]`` int64.
        """
        height, width = image.shape[2], image.shape[3]
        x = (image - self.mean) / self.std
        x = F.pad(x, (0, -width % SIZE_DIVISOR, 0, -height % SIZE_DIVISOR))
        features = list(self.backbone(x).values())
        proposals = self._propose(features, x, height, width)
        rois, pooled = self._pool(features, proposals)
        x = self.box_head(pooled)
        boxes = _clip(_decode(rois, self.bbox_pred(x), self._coder_weights), height, width)
        scores = self.class_head(x).sigmoid().T  # [K, M]
        solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        scores = torch.where(solid, scores, 0.0)
        pairs = self._nms(boxes, scores, self._nms_iou, self._score_threshold, self._limit)
        classes, places = pairs[: self._limit, 0], pairs[: self._limit, 1]
        return boxes[places], scores[classes, places], classes

    def _propose(self, features: list[Tensor], image: Tensor, height: int, width: int) -> Tensor:
        """Return the region proposals, best first: the best of each level, suppressed in it."""
        boxes, objectness = [], []
        for level, (logits, deltas) in enumerate(zip(*self.rpn_head(features), strict=True)):
            scores = logits.permute(0, 2, 3, 1).flatten()  # [H_l * W_l * A]
            shifts = deltas.reshape(-1, 4, *deltas.shape[2:])  # [A, 4, H_l, W_l]
            shifts = shifts.permute(2, 3, 0, 1).reshape(-1, 4)
            anchors = self._anchors(level, logits, image)
            count = torch.sym_min(self._proposals, scores.shape[0])
            best, places = scores.topk(count)
            boxes.append(_decode(anchors[places], shifts[places], (1.0, 1.0, 1.0, 1.0)))
            objectness.append(best.sigmoid())
        proposals = _clip(torch.cat(boxes), height, width)
        sides = proposals[:, 2:] - proposals[:, :2]
        large = (sides >= SMALLEST_SIDE).all(dim=1)
        scores = self._apart(objectness, large)
        pairs = self._nms(proposals, scores, self._rpn_iou, 0.0, self._proposals)
        return proposals[pairs[: self._proposals, 1]]

    def _apart(self, objectness: list[Tensor], large: Tensor) -> Tensor:
        """Return scores ``[L, M]`` that are 0 but in a box's own level, so levels do not compete.

        A sigmoid of a proposal's logit is above 0, so 0 stands for none.
        """
        levels = torch.cat([torch.full_like(s, float(i)) for i, s in enumerate(objectness)])
        own = levels == torch.arange(len(objectness), device=levels.device).unsqueeze(1)
        return torch.where(own & large, torch.cat(objectness), 0.0)

    def _anchors(self, level: int, logits: Tensor, image: Tensor) -> Tensor:
        """Return a level's anchors ``[H_l * W_l * A, 4]`` (torchvision's AnchorGenerator)."""
        rows, columns = logits.shape[2], logits.shape[3]
        ys = torch.arange(rows, device=logits.device) * (image.shape[2] // rows)
        xs = torch.arange(columns, device=logits.device) * (image.shape[3] // columns)
        y, x = ys.unsqueeze(1).expand(rows, columns), xs.expand(rows, columns)
        shifts = torch.stack([x, y, x, y], dim=2).reshape(-1, 1, 4)
        cells: Tensor = self.get_buffer(f"cells_{level}")
        return (shifts + cells).reshape(-1, 4)

    def _pool(self, features: list[Tensor], proposals: Tensor) -> tuple[Tensor, Tensor]:
        """Return the RoIs by level ``[M, 4]``, and their features ``[M, channels, side, side]``.

        Each level gets empty boxes too, whose refined boxes are empty and never detected.
        """
        sides = proposals[:, 2:] - proposals[:, :2]
        scale = sides.prod(dim=1).sqrt() / CANONICAL_SCALE
        levels = (CANONICAL_LEVEL + scale.log2() + LEVEL_EPSILON).floor() - FINEST_LEVEL
        levels = levels.clamp(0, self._levels - 1)
        rois, pooled = [], []
        for level in range(self._levels):
            own = proposals[(levels == level).nonzero().squeeze(1)]
            own = torch.cat([own, own.new_zeros(FILLERS, 4)])
            batch = torch.cat([torch.zeros_like(own[:, :1]), own], dim=1)
            stride = 2 ** (FINEST_LEVEL + level)
            rois.append(own)
            pooled.append(
                roi_align(features[level], batch, self._pool_size, 1 / stride, self._sampling_ratio)
            )
        return torch.cat(rois), torch.cat(pooled)


def _decode(boxes: Tensor, deltas: Tensor, weights: tuple[float, ...]) -> Tensor:
    """Move boxes ``[M, 4]`` by deltas ``[M, 4]`` (torchvision's BoxCoder)."""
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = boxes[:, :2] + 0.5 * sides
    moved = centres + deltas[:, :2] / torch.tensor(weights[:2]) * sides
    grown = (deltas[:, 2:] / torch.tensor(weights[2:])).clamp(max=MAX_LOG_SCALE).exp() * sides
    return torch.cat([moved - 0.5 * grown, moved + 0.5 * grown], dim=1)


def _clip(boxes: Tensor, height: int, width: int) -> Tensor:
    """Cut boxes at the image's border."""
    x, y = boxes[:, 0::2].clamp(0, width), boxes[:, 1::2].clamp(0, height)
    return torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], dim=1)


def example_image(settings: ArchitectureSettings) -> Tensor:
    """Return an image to trace with, whose sides differ; its size is not baked in."""
    side = max(settings.detector.min_size, 2 * LEAST_SIDE)
    return torch.rand(1, 3, side, side + side // 3)


def image_shapes() -> dict[int, Any]:
    """Return the axes of an image that may have any size, for ``torch.export``."""
    return {
        axis: torch.export.Dim(name, min=LEAST_SIDE) for axis, name in ((2, "height"), (3, "width"))
    }
