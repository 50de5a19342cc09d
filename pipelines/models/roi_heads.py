"""Torchvision's RoI heads with a sigmoid: several labels per box, one box for all classes.

Shapes: M RoIs of a batch, R RoI feature width, D detection classes, K classes of the head at work.

Torchvision's own head is a softmax over K + 1 classes; at 5000 classes it turns a sigmoid score of
0.74 into 0.24, so it cannot express this one.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.boxes import clip_boxes_to_image

from pipelines.config import DetectorSettings
from pipelines.models.heads import ClassRows, ClassWeightHead, FixedHead, projected
from pipelines.models.losses import LabelTables, box_loss, image_weights
from pipelines.models.postprocess import Detections, Selection, detect_in_blocks, solid_rows
from pipelines.models.sampling import SeededSampler

BOX_CODER_WEIGHTS = (10.0, 10.0, 5.0, 5.0)  # Girshick et al.; torchvision's and the release's
MAX_LOG_SCALE = math.log(1000 / 16)  # of a box's side; torchvision's, and in all that export serves
ROI_IOU = 0.5  # a RoI is foreground from this overlap on, background below it (release)


class RoIFeatures(NamedTuple):
    """What is read from an image's proposals once, whatever head scores them.

    Args:
        x: ``[M, R]`` RoI features.
        boxes: ``[M, 4]`` refined boxes in pixels of the resized image.
    """

    x: Tensor
    boxes: Tensor


class SigmoidRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """Sample, score and refine RoIs with a multi-label head and a class-agnostic box layer.

    Args:
        roi_pool: Pools each RoI from the feature pyramid.
        box_head: Turns pooled RoIs into features ``[M, R]``.
        class_head: Scores the features.
        bbox_pred: ``Linear(R, 4)``.
        tables: What each label asks of the D classes; stays out of the state dict.
        settings: Sampling and post-processing numbers.

    Attributes:
        score_thresh: What a score must exceed: one number, or one for each class ``[K]``.
        rivals: Sets of class rows; the classes of a set compete for the places of an image, and
            each set has its own places. None lets all classes compete.
    """

    score_thresh: float | Tensor
    rivals: Sequence[Tensor] | None = None

    def __init__(
        self,
        roi_pool: MultiScaleRoIAlign,
        box_head: nn.Module,
        class_head: ClassWeightHead | FixedHead,
        bbox_pred: nn.Linear,
        tables: LabelTables,
        settings: DetectorSettings,
    ) -> None:
        super().__init__(
            box_roi_pool=roi_pool,
            box_head=box_head,
            box_predictor=None,
            fg_iou_thresh=ROI_IOU,
            bg_iou_thresh=ROI_IOU,
            batch_size_per_image=settings.rois_per_image,
            positive_fraction=settings.foreground_fraction,
            bbox_reg_weights=BOX_CODER_WEIGHTS,
            score_thresh=settings.score_threshold,
            nms_thresh=settings.nms_iou,
            detections_per_img=settings.detections_per_image,
        )
        self.fg_bg_sampler = SeededSampler(
            settings.rois_per_image, settings.foreground_fraction, stage=2
        )
        self.class_head = class_head
        self.bbox_pred = bbox_pred
        for name, table in tables._asdict().items():
            self.register_buffer(f"label_{name}", table, persistent=False)

    def forward(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None = None,
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """Return detections (evaluation) or losses (training), in torchvision's form.

        Args:
            features: Pyramid levels by name, each ``[B, channels, H, W]``.
            proposals: ``[P, 4]`` for each image.
            image_shapes: Height and width of each resized image.
            targets: For each image ``boxes [G, 4]`` and ``labels [G]`` int64, 1 to D.
        """
        if self.training:
            return [], self._losses(features, proposals, image_shapes, targets)
        rois = self.roi_features(features, proposals, image_shapes)
        rows = self.class_head.detection_rows()
        x = projected(rois.x, self.class_head.projection)
        counts = [len(p) for p in proposals]
        found = [
            self._select(boxes, features_of_image, rows)
            for boxes, features_of_image in zip(
                torch.split(rois.boxes, counts), torch.split(x, counts), strict=True
            )
        ]
        return [{"boxes": d.boxes, "scores": d.scores, "labels": d.classes} for d in found], {}

    def roi_features(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> RoIFeatures:
        """Pool the proposals and refine their boxes, all that does not depend on the classes."""
        x = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        deltas = self.bbox_pred(x).float()  # autocast may have rounded them
        boxes = self.box_coder.decode(deltas, proposals).reshape(-1, 4)  # [M, 4]
        counts = [len(p) for p in proposals]
        clipped = [
            clip_boxes_to_image(part, shape)
            for part, shape in zip(torch.split(boxes, counts), image_shapes, strict=True)
        ]
        return RoIFeatures(x, torch.cat(clipped))

    def _losses(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]] | None,
    ) -> dict[str, Tensor]:
        proposals, _, labels, regression_targets = self.select_training_samples(proposals, targets)
        x = self.box_head(self.box_roi_pool(features, proposals, image_shapes))
        all_labels, weights = torch.cat(labels), image_weights(labels)
        tables = LabelTables(self.label_targets, self.label_weights, self.label_positives)
        assert isinstance(self.class_head, ClassWeightHead)  # a fixed head does not train
        return {
            **self.class_head.losses(x, all_labels, tables, weights),
            "loss_box_reg": box_loss(
                self.bbox_pred(x).float(), all_labels, torch.cat(regression_targets), weights
            ),
        }

    def _select(self, boxes: Tensor, x: Tensor, rows: ClassRows) -> Detections:
        """Return an image's detections; its boxes are shared by all sets of rivals.

        Args:
            boxes: ``[n, 4]`` of the image's RoIs.
            x: ``[n, R]``, or ``[n, P]`` if the head projects its features.
            rows: Of the K classes.
        """
        solid = solid_rows(boxes)
        if len(solid) < len(boxes):
            boxes, x = boxes[solid], x[solid]
        if self.rivals is None:
            return self._best(boxes, x, rows, None)
        sets = [members.to(boxes.device) for members in self.rivals]
        parts = [self._best(boxes, x, rows, members) for members in sets]
        classes = [members[part.classes] for members, part in zip(sets, parts, strict=True)]
        return Detections(
            torch.cat([part.boxes for part in parts]),
            torch.cat([part.scores for part in parts]),
            torch.cat(classes),
        )

    def _best(
        self, boxes: Tensor, x: Tensor, rows: ClassRows, members: Tensor | None
    ) -> Detections:
        """Return the best detections of all classes, or of the ``members`` among them."""

        def logits_of(places: slice) -> Tensor:
            return class_logits(x, rows, places if members is None else members[places])

        thresholds = self.score_thresh
        if members is not None and isinstance(thresholds, Tensor):
            thresholds = thresholds.to(members.device)[members]
        count = len(rows.bias if members is None else members)
        chosen = Selection(thresholds, self.nms_thresh, self.detections_per_img)
        return detect_in_blocks(boxes, logits_of, count, chosen)


def class_logits(x: Tensor, rows: ClassRows, places: slice | Tensor) -> Tensor:
    """Return the float32 logits ``[b, n]`` of some rows, for features ``[n, R]``.

    The bias is added in float32: in half precision alone it would be off by 0.03.
    """
    return F.linear(rows.weight[places], x).float().add_(rows.bias[places].unsqueeze(1))
