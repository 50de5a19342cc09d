"""Settings of the backbone and of Faster R-CNN."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.config.base import AboveZero, Fraction, Positive, Settings

BackboneName = Literal["resnet50", "resnet18", "mobilenet_v2", "tiny"]


class BackboneSettings(Settings):
    """The backbone and its feature pyramid."""

    name: BackboneName = "resnet50"
    weights: str | None = None
    """Local state dict of the classification network, or ``torchvision:NAME[@WEIGHTS]``."""
    frozen_batch_norm: bool = True
    """Keep batch-norm statistics and affine parameters fixed (release: yes); in stages that do not
    train they always are."""
    trainable_stages: Annotated[int, Field(ge=0, le=5)] = 3
    """Stages that train, counted from the last of five (release: 3, stem and res2 are frozen)."""
    fpn_channels: Positive = 256
    image_mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Per channel, RGB in 0..1 (ImageNet, torchvision)."""
    image_std: tuple[AboveZero, AboveZero, AboveZero] = (0.229, 0.224, 0.225)


class DetectorSettings(Settings):
    """Faster R-CNN; values of the release unless said otherwise."""

    roi_width: Positive = 2048
    """R, the width of both layers of the box head."""
    normalize_features: bool | None = None
    """Bring the features of each RoI to length sqrt(R), so only their direction counts; None: with
    ``ae-wtn-cosine`` (release: no)."""
    min_size: Positive = 800
    """Shortest image side after resizing, in pixels."""
    max_size: Positive = 1333
    anchor_sizes: tuple[Positive, ...] = (32, 64, 128, 256, 512)
    """One anchor size in pixels for each of the five pyramid levels."""
    aspect_ratios: Annotated[tuple[AboveZero, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    proposals_train: Positive = 2000
    proposals_test: Positive = 1000
    """Proposals per level before NMS and per image after it."""
    rois_per_image: Positive = 512
    foreground_fraction: Fraction = 0.25
    score_threshold: Fraction = 1e-4
    nms_iou: Fraction = 0.5
    detections_per_image: Positive = 500

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if len(self.anchor_sizes) != 5:
            raise ValueError("anchor_sizes needs five numbers, one for each pyramid level")
        if self.max_size < self.min_size:
            raise ValueError("max_size must not be less than min_size")
        return self
