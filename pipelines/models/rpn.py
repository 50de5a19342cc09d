"""Torchvision's region proposal network, with losses in float32 in which each image counts alike.

Shapes: B images, A anchors of one.
"""

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead

BOX_BETA = 1 / 9  # of the smooth L1 loss (torchvision's and the release's)


class Float32RPNHead(RPNHead):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's RPN head; what it returns is decoded in float32, also under autocast."""

    def forward(self, x: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return objectness and box deltas of each pyramid level."""
        objectness, deltas = super().forward(x)
        return [level.float() for level in objectness], [level.float() for level in deltas]


class PerImageRPN(RegionProposalNetwork):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's RPN; its losses are means over images of the means over their anchors.

    Torchvision's are means over the sampled anchors of all images, which is the same where each
    image has as many. Thus a batch has the loss that its parts have, on the mean.
    """

    def compute_loss(
        self,
        objectness: Tensor,
        pred_bbox_deltas: Tensor,
        labels: list[Tensor],
        regression_targets: list[Tensor],
    ) -> tuple[Tensor, Tensor]:
        """Return the losses of objectness and of boxes.

        Args:
            objectness: ``[B * A, 1]`` logits.
            pred_bbox_deltas: ``[B * A, 4]``.
            labels: For each image ``[A]``: 1 object, 0 background, -1 neither.
            regression_targets: For each image ``[A, 4]``.
        """
        positive, negative = self.fg_bg_sampler(labels)
        drawn = [p | n for p, n in zip(positive, negative, strict=True)]
        weights = torch.cat([mask / mask.sum().clamp(min=1) for mask in drawn]) / len(drawn)
        sampled = torch.where(torch.cat(drawn))[0]
        objects = torch.where(torch.cat(positive))[0]
        box_losses = F.smooth_l1_loss(
            pred_bbox_deltas[objects],
            torch.cat(regression_targets)[objects],
            beta=BOX_BETA,
            reduction="none",
        )
        objectness_loss = F.binary_cross_entropy_with_logits(
            objectness.flatten()[sampled],
            torch.cat(labels)[sampled],
            weights[sampled],
            reduction="sum",
        )
        return objectness_loss, (box_losses.sum(dim=1) * weights[objects]).sum()
