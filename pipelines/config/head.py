"""Settings of the class head: the rule that turns classifier rows into detector rows."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipelines.config.base import AboveZero, AtLeastZero, Positive, Settings

Method = Literal["faster-rcnn", "lsda", "zsd", "wtn", "wtn+", "ae-wtn", "ae-wtn-cosine"]
Norm = Literal["none", "group", "batch"]
RowSpaceName = Literal["raw", "standardized", "normalized"]
HeadPrecision = Literal["float32", "float16", "int8"]
"""How the class rows of a head are stored; int8 with one scale for each row."""

AUTOENCODERS: tuple[Method, ...] = ("ae-wtn", "ae-wtn-cosine")
BORROWERS: tuple[Method, ...] = ("faster-rcnn", "lsda")
TRANSFERS: tuple[Method, ...] = ("wtn", "wtn+", *AUTOENCODERS)
_OF_TRANSFERS = ("input_norm", "norm", "negative_slope", "zero_gamma", "initialization", "dropout",
                 "activity", "activity_reduction", "bias")  # fmt: skip
_OF_AE_WTN = ("alpha", "reconstruction", "reconstructed", "reconstructed_count")
USED_BY: dict[str, tuple[Method, ...]] = {
    **dict.fromkeys(_OF_TRANSFERS, TRANSFERS),
    **dict.fromkeys(_OF_AE_WTN, AUTOENCODERS),
}
"""The methods that use a setting of the head, where not all do. Sizes (``hidden``, ``groups``) and
the tables that are named after a method may stand in a settings file that all methods share."""


class NeighborSettings(Settings):
    """Which seen classes a class without boxes borrows from, and in which shares."""

    count: Positive | None = None
    """k; None means 1 for ``faster-rcnn``, 10 for ``lsda`` (Kuen et al. give no number) and 5 for
    the transfer networks (docs/transfer.md), and with softmax weights all seen classes."""
    metric: Literal["cosine", "l2"] = "cosine"
    rows: RowSpaceName = "raw"
    """Where the distance is measured: between rows as they are, standardised per channel over all
    classes, or of length 1 (LSDA)."""
    weights: Literal["uniform", "softmax"] = "uniform"
    """``softmax`` weighs the k neighbours by the softmax of their similarity: the weights-only
    proxy of visual similarity."""
    temperature: AboveZero = 1.0
    """Of the softmax, in units of how far the similarities of the class spread (their standard
    deviation over all seen classes): so it means the same for any classifier, metric and rows."""
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    """How much of a row is borrowed, where the class has one of its own (transfer networks); None
    leaves them as they are. ``faster-rcnn`` and ``lsda`` have no such choice."""


class LSDASettings(Settings):
    """LSDA (Hoffman et al., NIPS 2014): a row is the classifier's row plus a learned change."""

    scale: AboveZero = 1.0
    """Multiple of the classifier's row (Kuen et al.: the change is "added to CLN's weight
    vector")."""
    rows: RowSpaceName = "raw"
    """Rows that the change is added to."""


class ZSDSettings(Settings):
    """Zero-shot detection (Bansal et al., ECCV 2018): cosines between features and class rows."""

    mode: Literal["sigmoid", "margin"] = "sigmoid"
    """``sigmoid`` trains with the loss of all methods, as Kuen et al. compare them; ``margin`` with
    the max-margin loss of the cited method."""
    scale: AboveZero = 10.0
    """Multiple of the cosine in the logit; learned from here on with ``sigmoid``."""
    margin: AboveZero = 1.0
    """Of the max-margin loss."""


class HeadSettings(Settings):
    """The rule that turns classifier rows into detector rows (Kuen et al., ICCV 2019, sec. 3-4)."""

    method: Method = "ae-wtn"
    input_norm: bool | None = None
    """Standardise each channel of the rows over all classes; None: all transfer networks but
    ``wtn``."""
    norm: Norm | None = None
    """Normalisation of the hidden layer; None: ``group``, and ``none`` for ``wtn``."""
    hidden: Positive | None = None
    """Width of the hidden layer; None means R."""
    groups: Positive = 32
    """Groups of each GroupNorm (release: 32)."""
    negative_slope: AtLeastZero = 0.01
    """Slope of the LeakyReLU (release: 0.01)."""
    zero_gamma: bool = True
    """Start the encoder's normalisation with scale 0 (release: yes), so all rows start at 0."""
    initialization: Literal["uniform", "msra"] = "uniform"
    """Of the transfer network's linear layers: PyTorch's uniform distribution (release), or
    N(0, sqrt(2 / fan_out)) as the first WTN (Hu et al., CVPR 2018: seg_every_thing)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the hidden activations that are dropped in training (paper's variant: 0.3)."""
    activity: AtLeastZero = 0.0
    """Weight of the activity regulariser on the hidden layer (paper's variant: 0.01)."""
    activity_reduction: Literal["sumsq", "l2", "mse"] = "sumsq"
    """What it weighs, as a mean over the seen classes: the squared length of the hidden
    activations (Keras), their length (Merity et al., 2017), or their mean square (AWD-LSTM). The
    paper does not say which."""
    alpha: AtLeastZero = 20.0
    """Weight of the reconstruction loss (release: 20)."""
    reconstruction: Literal["smooth_l1", "l2"] = "smooth_l1"
    reconstructed: Literal["all", "seen"] = "all"
    """Classes whose rows are reconstructed (release: all)."""
    reconstructed_count: Positive | None = None
    """How many of them in a step, drawn anew each time; None: every one (release)."""
    bias: Literal["shared", "per-class"] = "shared"
    """One learned bias for all transferred classes (release), or one for each seen class, whose
    mean serves the others."""
    prior: Annotated[float, Field(gt=0, lt=1)] = 0.01
    """Score of every class at the start (release: 0.01, a bias of -log 99)."""
    lsda: LSDASettings = LSDASettings()
    zsd: ZSDSettings = ZSDSettings()

    @property
    def transfers(self) -> bool:
        """Whether a network transfers the rows."""
        return self.method in TRANSFERS

    @property
    def reconstructs(self) -> bool:
        """Whether a decoder reconstructs the rows."""
        return self.method in AUTOENCODERS

    @property
    def adds_to_rows(self) -> bool:
        """Whether detector rows are classifier rows with a change, and so as wide."""
        return self.method in ("lsda", "ae-wtn-cosine")

    @property
    def standardizes(self) -> bool:
        """Whether the transfer network sees standardised rows."""
        return self.method != "wtn" if self.input_norm is None else self.input_norm

    @property
    def hidden_norm(self) -> Norm:
        """The normalisation of the transfer network's hidden layer."""
        return self.norm or ("none" if self.method == "wtn" else "group")

    @model_validator(mode="after")
    def _no_idle_setting(self) -> Self:
        for name, methods in USED_BY.items():
            changed = getattr(self, name) != type(self).model_fields[name].default
            if changed and self.method not in methods:
                raise ValueError(
                    f"{name} changes nothing in {self.method}, only in {', '.join(methods)}; "
                    "leave it out"
                )
        return self

    @model_validator(mode="after")
    def _differentiable_start(self) -> Self:
        starts_at_zero = self.transfers and self.hidden_norm != "none" and self.zero_gamma
        if starts_at_zero and self.negative_slope == 0:
            raise ValueError(
                "zero_gamma needs negative_slope > 0: at 0 a ReLU passes no gradient to the encoder"
            )
        return self
