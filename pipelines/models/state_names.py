"""The names of a detector's tensors: ours, and torchvision's for the same layers."""

from collections.abc import Mapping

from torch import Tensor

CLASS_HEAD = "roi_heads.class_head."
BOX_LAYER = "roi_heads.bbox_pred."
CLASS_LAYER = "roi_heads.box_predictor.cls_score."  # torchvision's, as in its FastRCNNPredictor
SHARED_BOX_LAYER = "roi_heads.box_predictor.bbox_pred."
_TORCHVISION = {CLASS_HEAD: CLASS_LAYER, BOX_LAYER: SHARED_BOX_LAYER}


def to_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a plain detector; its class layer has K rows, its box layer four."""
    return {_renamed(name, _TORCHVISION): tensor.contiguous() for name, tensor in state.items()}


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors as our detector does."""
    ours = {theirs: name for name, theirs in _TORCHVISION.items()}
    return {_renamed(name, ours): tensor for name, tensor in state.items()}


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for prefix, other in prefixes.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name
