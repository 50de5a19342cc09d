"""The settings of training: every default in one place, validated, and free of torch.

Where the paper and its official release differ, the default follows the release (xternalz/AE-WTN,
experiment/e2e_faster_rcnn_R_50_FPN_1x.yaml), because it is what produced the paper's numbers.
"""

import copy
import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from pipelines.errors import ConfigError, DatasetError, did_you_mean

Method = Literal["faster-rcnn", "wtn", "wtn+", "ae-wtn"]
NORMALISED = ("wtn+", "ae-wtn")  # the methods with a GroupNorm
Metric = Literal["oid", "aewtn-release", "coco"]
BoxPolicy = Literal["error", "clip", "drop"]
Sampler = Literal["class-balanced", "uniform", "repeat-factor"]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _as_sequence(value: object) -> object:
    return [value] if isinstance(value, str | Path) else value


class DataSettings(Settings):
    """The box dataset."""

    boxes: Path
    """An index made by ``wtn prepare``, or an Open Images box CSV; coordinates are fractions of
    the image."""
    images: Annotated[tuple[Path, ...], BeforeValidator(_as_sequence)] = ()
    """Folders, zip and tar files of images named ``<ImageID>.jpg`` (or .jpeg, .png, .webp), one or
    a list; without them those of the index."""
    classes: Path | None = None
    """Class list that sets the order of the D classes; without it that of the index, or the ids in
    ``boxes``, sorted."""
    hierarchy: Path | None = None
    """Open Images hierarchy JSON; without it that of the index, or no class stands above
    another."""
    hierarchy_mode: Literal["complete", "official"] = "complete"
    """``official`` reproduces the release's tables, which lack 25 ancestor pairs."""
    box_policy: BoxPolicy = "error"
    """What to do with a box that leaves the image, has no area, is a copy or is not finite."""
    sampler: Sampler = "class-balanced"
    """Which images a pass shows: ``class-balanced`` as the release, ``uniform`` each once, or
    ``repeat-factor`` those of rare classes more often (LVIS)."""
    repeat_threshold: Annotated[float, Field(gt=0, le=1)] = 1e-3
    """Of repeat-factor: fraction of the images below which a class is rare (LVIS: 0.001)."""
    group_by_aspect_ratio: bool = True
    """Keep wide and high images in batches of their own, so that less is padded (release: yes).
    Without an index that knows the sizes, that is done for at most 20,000 images."""
    horizontal_flip: Fraction = 0.5
    """Probability of mirroring a training image (release: 0.5)."""
    workers: Annotated[int, Field(ge=0)] = 2
    """Processes that decode images."""


class BackboneSettings(Settings):
    """The backbone and its feature pyramid."""

    name: Literal["resnet50", "resnet18", "mobilenet_v2", "tiny"] = "resnet50"
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


class HeadSettings(Settings):
    """The rule that turns classifier rows into detector rows (Kuen et al., ICCV 2019, sec. 3-4)."""

    method: Method = "ae-wtn"
    hidden: Positive | None = None
    """Width of the hidden layer; None means R."""
    groups: Positive = 32
    """Groups of each GroupNorm (release: 32)."""
    negative_slope: AtLeastZero = 0.01
    """Slope of the LeakyReLU (release: 0.01)."""
    zero_gamma: bool = True
    """Start the encoder's GroupNorm with scale 0 (release: yes), so all rows start at 0."""
    alpha: AtLeastZero = 20.0
    """Weight of the reconstruction loss (release: 20)."""
    reconstruction: Literal["smooth_l1", "l2"] = "smooth_l1"
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Score of every class at the start (release: 0.01, a bias of -log 99)."""

    @model_validator(mode="after")
    def _differentiable_start(self) -> Self:
        if self.method in NORMALISED and self.zero_gamma and self.negative_slope == 0:
            raise ValueError(
                "zero_gamma needs negative_slope > 0: at 0 a ReLU passes no gradient to the encoder"
            )
        return self


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
    checkpoint_every: Positive = 18_000
    log_every: Positive = 20

    @model_validator(mode="after")
    def _rising_steps(self) -> Self:
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError("steps must rise")
        return self


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
    seed: Annotated[int, Field(ge=0)] = 0
    device: str = "auto"
    """``auto`` takes CUDA when there is one; else ``cpu``, ``cuda``, ``cuda:1``, ..."""

    @model_validator(mode="after")
    def _groups_divide(self) -> Self:
        hidden = self.head.hidden or self.detector.roi_width
        if self.head.method in NORMALISED and hidden % self.head.groups:
            raise ValueError(
                f"head.groups ({self.head.groups}) must divide the hidden width ({hidden}: "
                "head.hidden, or else detector.roi_width)"
            )
        return self

    def as_toml(self) -> str:
        """Return the settings as the text of a settings file; what is None is left out."""
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True))


def load_settings(
    file: Path | None = None,
    assignments: Sequence[str] = (),
    flags: Mapping[str, Any] | None = None,
) -> TrainSettings:
    """Merge a TOML file, ``a.b=c`` assignments and flags; the later win.

    Args:
        file: Settings file; relative paths in it are relative to the working directory.
        assignments: ``key.path=value`` with a TOML value; what is no TOML value is a string.
        flags: ``key.path`` to value; None means that the flag was not given.

    Raises:
        ConfigError: On an unknown key (names the nearest valid one), a bad value, or bad syntax.
        DatasetError: If the file cannot be read.
    """
    tree = _read_file(file) if file else {}
    from_file = copy.deepcopy(tree)
    for assignment in assignments:
        key, separator, text = assignment.partition("=")
        if not separator:
            raise ConfigError(
                f"--set {assignment}: expected KEY=VALUE, for example schedule.steps=[100]"
            )
        _assign(tree, key.strip(), _toml_value(text.strip()))
    for key, value in (flags or {}).items():
        if value is not None:
            _assign(tree, key, value)
    return validate_settings(tree, file, from_file)


def validate_settings(
    tree: Mapping[str, Any],
    file: Path | None = None,
    from_file: Mapping[str, Any] | None = None,
) -> TrainSettings:
    """Return the settings in a nested mapping.

    Args:
        tree: All settings.
        file: Where some of them were read, for the message.
        from_file: Those that were read there.

    Raises:
        ConfigError: As :func:`load_settings`.
    """
    try:
        return TrainSettings.model_validate(tree)
    except ValidationError as error:
        raise _as_config_error(error, file, from_file or {}) from error


def _read_file(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
        return tomllib.loads(text)
    except OSError as error:
        raise DatasetError(f"the settings cannot be read ({error.strerror})", where=file) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be parsed: {error}", where=file) from error


def _toml_value(text: str) -> Any:  # noqa: ANN401 - any TOML value
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _assign(tree: dict[str, Any], key: str, value: object) -> None:
    *groups, last = key.split(".")
    for group in groups:
        tree = tree.setdefault(group, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"{key}: {group!r} is a setting, not a group of settings")
    tree[last] = value


def _as_config_error(
    error: ValidationError, file: Path | None, from_file: Mapping[str, Any]
) -> ConfigError:
    """Report the first problem; an unknown key before a missing one, which it may explain.

    The file is blamed only for what stands in it.
    """
    first = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")
    key = ".".join(str(part) for part in first["loc"])
    where = file if _value_at(from_file, first["loc"]) == first["input"] else None
    if first["type"] == "extra_forbidden":
        *groups, last = first["loc"]
        known = sorted(_group_at(groups).model_fields)
        nearest = did_you_mean(str(last), known)
        mend = " ".join(filter(None, [nearest, f"Valid keys here: {', '.join(known)}."]))
        return ConfigError(f"unknown setting {key!r}", where=where, mend=mend)
    if first["type"] == "missing":
        return ConfigError(
            f"the setting {key!r} is missing",
            mend=f"Give it with a flag, in the settings file, or with --set {key}=...",
        )
    message = first["msg"].removeprefix("Value error, ")
    given = (
        f" (given: {first['input']!r})"
        if not isinstance(first["input"], Mapping | BaseModel)
        else ""
    )
    return ConfigError(f"bad value for {key or 'the settings'}: {message}{given}", where=where)


def _value_at(tree: Mapping[str, Any], location: Sequence[int | str]) -> Any:  # noqa: ANN401
    value: Any = tree
    for part in location:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _group_at(location: Sequence[int | str]) -> type[BaseModel]:
    group: type[BaseModel] = TrainSettings
    for part in location:
        annotation = group.model_fields[str(part)].annotation
        assert isinstance(annotation, type)
        group = annotation
    return group
