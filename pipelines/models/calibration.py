"""Let novel classes compete with seen ones: calibrated stacking (Chao et al., ECCV 2016).

A detector trained on seen classes scores them higher than novel ones. One number that is added to
the logits of all novel classes balances the two; the order within each group does not change.
"""

import math
from dataclasses import replace

import torch

from pipelines.artifacts import DetectionHead
from pipelines.errors import ConfigError


def shift_novel(head: DetectionHead, shift: float) -> DetectionHead:
    """Return the head whose novel classes score ``shift`` higher, in logits.

    Raises:
        ConfigError: If the shift is no number.
    """
    if not math.isfinite(shift):
        raise ConfigError(f"a shift of {shift} is no number", mend="Give one such as 3, in logits.")
    is_novel = torch.tensor([group == "novel" for group in head.groups])
    return replace(head, bias=head.bias + shift * is_novel)
