"""Settings of the optimisers, the schedule, and of a training as a whole."""

import math
from pathlib import Path
from typing import Annotated, Self

import tomli_w
from pydantic import BeforeValidator, Field, model_validator

from pipelines.config.base import (
    AboveZero,
    AtLeastZero,
    Fraction,
    Metric,
    Positive,
    Precision,
    Settings,
)
from pipelines.config.data import DataSettings, as_sequence
from pipelines.config.detector import BackboneSettings, DetectorSettings
from pipelines.config.head import HeadSettings

BATCH_OF_RELEASE = 8  # images, on 4 GPUs


class OptimizerSettings(Settings):
    """SGD for the detector, AdamW for the transfer network (release: solver/build.py)."""

    learning_rate: AboveZero = 0.01
    """Of SGD, for batches of 8 images; scale it with the batch size (paper: 0.02)."""
    momentum: Fraction = 0.9
    weight_decay: AtLeastZero = 1e-4
    bias_rate_factor: AboveZero = 2.0
    """Biases train at this multiple of the rate, without weight decay."""
    max_gradient_norm: AboveZero | None = None
    """Shorten the detector's gradient to this norm (release: never); steadies short trainings."""
    transfer_learning_rate: AboveZero = 1e-3
    transfer_weight_decay: AtLeastZero = 0.1
    """AdamW's; times the rate it is the paper's 1e-4."""


class ScheduleSettings(Settings):
    """How long, and at which rates."""

    iterations: Positive = 180_000
    batch_size: Positive = 8
    warmup_iterations: Annotated[int, Field(ge=0)] = 500
    warmup_factor: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    steps: tuple[Positive, ...] = (120_000, 160_000)
    """Iterations at which both rates drop."""
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    transfer_gamma: Annotated[float, Field(gt=0, le=1)] = math.sqrt(0.1)
    checkpoint_every: Positive = 2_000
    """Iterations that a kill may cost at most (release: 18000, all of which it kept)."""
    log_every: Positive = 20

    @model_validator(mode="after")
    def _rising_steps(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps must rise")
        return self


class EngineSettings(Settings):
    """How the machine does it; what is learned differs by rounding at most."""

    precision: Precision = "float32"
    """Of convolutions and matrix products; the transfer network, the losses and the weights stay
    float32 (release: float32)."""
    accumulation: Positive = 1
    """Passes that a batch is cut into, to save memory; the step is the same."""
    channels_last: bool = False
    """Keep images and convolutions in the memory format that tensor cores like."""
    fused: bool = True
    """Let each optimizer step in one kernel."""
    compile: bool = False
    """Compile backbone and box head with torch.compile."""


class CheckpointSettings(Settings):
    """Which checkpoints a run keeps."""

    keep_last: Positive = 2
    """The newest ones; with more than one, a damaged one loses little."""
    keep_best: str | None = None
    """Also the best one by this metric of the periodic evaluation, such as ``novel_AP50``."""


class EvaluationSettings(Settings):
    """The evaluation during training; none unless ``every`` is given."""

    every: Positive | None = None
    """Iterations between two evaluations; the last iteration is evaluated too."""
    boxes: Path | None = None
    """As ``data.boxes``."""
    images: Annotated[tuple[Path, ...], BeforeValidator(as_sequence)] = ()
    """As ``data.images``."""
    image_labels: Path | None = None
    """Verified image-level labels; without them the boxes are taken as exhaustive."""
    hierarchy: Path | None = None
    """Expands both, as in ``wtn evaluate``."""
    metric: Metric = "oid"
    max_images: Positive | None = None
    """Evaluate on the first so many images with boxes, for speed."""

    @model_validator(mode="after")
    def _has_boxes(self) -> Self:
        if self.every is not None and self.boxes is None:
            raise ValueError("evaluation.every needs evaluation.boxes")
        return self


class LimitSettings(Settings):
    """When a run stops before its end, and what it puts up with."""

    max_hours: AboveZero | None = None
    """Save and stop after so many hours; the run goes on with ``--resume``."""
    skip_nonfinite: Annotated[int, Field(ge=0)] = 0
    """Steps with a loss that is not finite that are left out, before the next one ends the run."""


class ArchitectureSettings(Settings):
    """What the detector itself is built from; all that is left of a training when it runs."""

    backbone: BackboneSettings
    detector: DetectorSettings
    normalizes_features: bool
    """Whether the features of each RoI are brought to length sqrt(R)."""


class TrainSettings(Settings):
    """Everything that ``wtn train`` needs to know."""

    classifier: Path
    """A file made by ``wtn extract-weights``."""
    data: DataSettings
    backbone: BackboneSettings = BackboneSettings()
    detector: DetectorSettings = DetectorSettings()
    head: HeadSettings = HeadSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    engine: EngineSettings = EngineSettings()
    checkpoints: CheckpointSettings = CheckpointSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    limits: LimitSettings = LimitSettings()
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    """``auto`` takes CUDA when there is one; else ``cpu``, ``cuda``, ``cuda:1``, ..."""

    @property
    def normalizes_features(self) -> bool:
        """Whether the features of each RoI are brought to one length."""
        chosen = self.detector.normalize_features
        return self.head.method == "ae-wtn-cosine" if chosen is None else chosen

    @property
    def architecture(self) -> ArchitectureSettings:
        """What the trained detector is built from, wherever its weights started."""
        return ArchitectureSettings(
            backbone=self.backbone.model_copy(update={"weights": None}),
            detector=self.detector,
            normalizes_features=self.normalizes_features,
        )

    @model_validator(mode="after")
    def _batch_divides(self) -> Self:
        if self.schedule.batch_size % self.engine.accumulation:
            raise ValueError(
                f"engine.accumulation ({self.engine.accumulation}) must divide "
                f"schedule.batch_size ({self.schedule.batch_size})"
            )
        return self

    @model_validator(mode="after")
    def _best_is_evaluated(self) -> Self:
        if self.checkpoints.keep_best is not None and self.evaluation.every is None:
            raise ValueError("checkpoints.keep_best needs evaluation.every")
        return self

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        hidden = self.head.hidden or self.detector.roi_width
        grouped = self.head.transfers and self.head.hidden_norm == "group"
        if grouped and hidden % self.head.groups:
            raise ValueError(
                f"head.groups ({self.head.groups}) must divide the hidden width ({hidden}: "
                "head.hidden, or else detector.roi_width)"
            )
        return self

    def scaled_to_batch(self) -> Self:
        """Return the settings for their batch size, if they were written for batches of 8 images.

        SGD's rate grows with the batch, and iterations and steps shrink, so that as many images
        are seen; the warm-up and AdamW's rate stay (release, README).
        """
        schedule, factor = self.schedule, self.schedule.batch_size / BATCH_OF_RELEASE
        rate = self.optimizer.learning_rate * factor
        shorter = {
            "iterations": _shortened(schedule.iterations, factor),
            "steps": sorted({_shortened(step, factor) for step in schedule.steps}),
        }
        tree = self.model_dump()
        tree["optimizer"]["learning_rate"] = rate
        tree["schedule"] |= shorter
        return type(self).model_validate(tree)

    def as_toml(self) -> str:
        """Return the settings as the text of a settings file; what is None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def _shortened(iterations: int, factor: float) -> int:
    return max(1, round(iterations / factor))
