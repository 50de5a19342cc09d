"""Every method is a rule that turns classifier rows into detector rows; here are the rules."""

from pipelines.config import HeadSettings
from pipelines.models.heads.base import (
    ClassRows,
    ClassRowSource,
    ClassWeightHead,
    FixedHead,
    prior_bias,
    projected,
)
from pipelines.models.heads.cosine import CosineHead
from pipelines.models.heads.linear import LinearHead
from pipelines.models.heads.lsda import LSDAHead
from pipelines.models.heads.transfer import WeightTransferHead
from pipelines.models.heads.zsd import ZSDHead

__all__ = [
    "ClassRowSource",
    "ClassRows",
    "ClassWeightHead",
    "CosineHead",
    "FixedHead",
    "LSDAHead",
    "LinearHead",
    "WeightTransferHead",
    "ZSDHead",
    "build_head",
    "prior_bias",
    "projected",
]


def build_head(settings: HeadSettings, source: ClassRowSource, roi_width: int) -> ClassWeightHead:
    """Return the head of a method."""
    if settings.method == "faster-rcnn":
        return LinearHead(source, roi_width, settings.prior)
    if settings.method == "lsda":
        return LSDAHead(source, settings)
    if settings.method == "zsd":
        return ZSDHead(source, roi_width, settings)
    if settings.method == "ae-wtn-cosine":
        return CosineHead(source, roi_width, settings)
    return WeightTransferHead(source, roi_width, settings)
