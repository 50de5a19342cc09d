"""The tensors of a plain detector, by torchvision's names."""

from collections.abc import Mapping

from torch import Tensor

from pipelines.models.checkpoints import BOX_LAYER, CLASS_HEAD

CLASS_LAYER = "roi_heads.box_predictor.cls_score."
_NAMES = {CLASS_HEAD: CLASS_LAYER, BOX_LAYER: "roi_heads.box_predictor.bbox_pred."}


def to_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of our detector; a class layer has K rows and the box layer four."""
    return {_renamed(name, _NAMES): tensor.contiguous() for name, tensor in state.items()}


def from_torchvision(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Name the tensors as our detector does."""
    names = {theirs: ours for ours, theirs in _NAMES.items()}
    return {_renamed(name, names): tensor for name, tensor in state.items()}


def _renamed(name: str, prefixes: Mapping[str, str]) -> str:
    for prefix, other in prefixes.items():
        if name.startswith(prefix):
            return other + name.removeprefix(prefix)
    return name
