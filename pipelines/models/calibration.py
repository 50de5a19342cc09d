"""Let novel classes compete with seen ones: calibrated stacking (Chao et al., ECCV 2016).

A detector trained on seen classes scores them higher than novel ones. One number that is added to
the logits of all novel classes balances the two; the order within each group does not change.
"""

from dataclasses import replace

import torch

from pipelines.artifacts import DetectionHead


def shift_novel(head: DetectionHead, shift: float) -> DetectionHead:
    """Return the head whose novel classes score ``shift`` higher, in logits."""
    is_novel = torch.tensor([group == "novel" for group in head.groups])
    return replace(head, bias=head.bias + shift * is_novel)
