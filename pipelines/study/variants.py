"""The rows of the studies: which settings, and what stands for them in the paper.

Source: Kuen et al., ICCV 2019, Tables 1 to 3 and section 5. The rows of ``LENGTH``, ``SPREAD``,
``START`` and ``SWITCHES`` are not in the paper: they ask when each part of AE-WTN pays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipelines.config import NeighborSettings, OptimizerSettings
from pipelines.errors import ConfigError, did_you_mean

Assignments = dict[str, Any]


@dataclass(frozen=True)
class Variant:
    """A detector to train, export and evaluate.

    Args:
        name: Its id in files and on the command line.
        title: In tables.
        settings: What differs from the world's settings, by ``key.path``.
        trained_as: The variant whose trained detector it takes; by default its own.
        neighbors: What classes without boxes borrow, where the method borrows.
        similarity: Weigh the neighbours by the classifier's probabilities over images.
        words: Transfer from word vectors in place of the classifier's rows.
        hidden_share: Width of the hidden layer, as a share of R.
        row_spread: Multiply the classifier's rows by random factors whose largest is so many times
            the smallest; 1 leaves them as they are.
        length: Train for so many times the world's iterations.
    """

    name: str
    title: str
    settings: Assignments = field(default_factory=dict)
    trained_as: str | None = None
    neighbors: NeighborSettings | None = None
    similarity: bool = False
    words: bool = False
    hidden_share: float = 1.0
    row_spread: float = 1.0
    length: float = 1.0

    @property
    def training(self) -> str:
        """The name of the trained detector."""
        return self.trained_as or self.name

    @property
    def needs(self) -> tuple[str, ...]:
        """What the row takes that not every world has: ``words``, ``similarity``."""
        return tuple(need for need in ("words", "similarity") if getattr(self, need))

    def changes(self) -> Assignments:
        """Return what sets the row apart from the world's settings, as JSON values."""
        own = {
            "trained_as": self.trained_as,
            "neighbors": self.neighbors.model_dump(exclude_defaults=True) if self.neighbors else {},
            "similarity": self.similarity,
            "words": self.words,
        }
        factors = {
            "hidden_share": self.hidden_share,
            "row_spread": self.row_spread,
            "length": self.length,
        }
        given = {key: value for key, value in own.items() if value}
        return self.settings | given | {k: v for k, v in factors.items() if v != 1}


def _head(method: str, **settings: Any) -> Assignments:  # noqa: ANN401 - any setting
    return {"head.method": method} | {f"head.{key}": value for key, value in settings.items()}


_WEIGHT_DECAY_5X = {
    "optimizer.transfer_weight_decay": 5 * OptimizerSettings().transfer_weight_decay
}
_THREE_TENTHS = NeighborSettings(share=0.3)  # chosen on seed 0 of shapes and tin200
_ALL_NEIGHBORS_BY_WEIGHTS = NeighborSettings(weights="softmax")

FASTER_RCNN = Variant("faster-rcnn-nn", "Faster R-CNN (NN)", _head("faster-rcnn"))
LSDA = Variant("lsda", "LSDA", _head("lsda"))
ZSD = Variant("zsd", "ZSD with classifier weights", _head("zsd"))
WTN = Variant("wtn", "WTN", _head("wtn"))
WTN_PLUS = Variant("wtn+", "WTN+", _head("wtn+"))
AE_WTN = Variant("ae-wtn", "AE-WTN", _head("ae-wtn"))
COSINE = Variant("ae-wtn-cosine", "AE-WTN with cosines", _head("ae-wtn-cosine"))

TABLE1 = (
    FASTER_RCNN,
    LSDA,
    Variant(
        "lsda-visual-weights",
        "LSDA (visual transfer, proxy by weights)",
        LSDA.settings,
        trained_as="lsda",
        neighbors=_ALL_NEIGHBORS_BY_WEIGHTS,
    ),
    Variant(
        "lsda-visual-images",
        "LSDA (visual transfer, probabilities over images)",
        LSDA.settings,
        trained_as="lsda",
        similarity=True,
    ),
    ZSD,
    Variant("zsd-words", "ZSD with word vectors", _head("zsd"), words=True),
    WTN,
    WTN_PLUS,
    Variant("wtn+-weight-decay", "WTN+, 5x weight decay", WTN_PLUS.settings | _WEIGHT_DECAY_5X),
    Variant("wtn+-activity", "WTN+, activity regulariser 0.01", _head("wtn+", activity=0.01)),
    Variant("wtn+-dropout", "WTN+, dropout 0.3", _head("wtn+", dropout=0.3)),
    Variant("wtn+-half", "WTN+, half the hidden width", WTN_PLUS.settings, hidden_share=0.5),
    AE_WTN,
)
TABLE2 = (
    WTN,
    Variant("wtn-input-norm", "Input normalisation only", _head("wtn", input_norm=True)),
    Variant("wtn-group-norm", "Group normalisation only", _head("wtn", norm="group")),
    WTN_PLUS,
)
TABLE3 = (
    WTN_PLUS,
    Variant("wtn+-batch-norm", "WTN+ with BatchNorm", _head("wtn+", norm="batch")),
)
FIGURE4 = (WTN, WTN_PLUS, AE_WTN)

LENGTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # times the world's iterations
WIDE_SPREAD = 28.0  # longest over shortest row of one large-scale classifier, says the paper


def _with(variant: Variant, suffix: str, words: str, **settings: Any) -> Variant:  # noqa: ANN401
    """Return a row that differs from another in some settings of its head."""
    changed = {f"head.{key}": value for key, value in settings.items()}
    return replace(
        variant,
        name=f"{variant.name}-{suffix}",
        title=f"{variant.title}, {words}",
        settings=variant.settings | changed,
    )


def _longer(variant: Variant, length: float) -> Variant:
    """Return a row that trains longer or shorter; at its own length it is the row itself."""
    if length == 1:
        return variant
    named = _with(variant, f"x{length:g}", f"{length:g} times the iterations")
    return replace(named, length=length)


def _spread(variant: Variant) -> Variant:
    words = f"row lengths spread {WIDE_SPREAD:g} times more"
    named = _with(variant, f"spread{WIDE_SPREAD:g}", words)
    return replace(named, row_spread=WIDE_SPREAD)


def _mixed(variant: Variant) -> Variant:
    """Return the same detector with rows of novel classes mixed with those of their neighbours."""
    named = _with(variant, "neighbors", f"{_THREE_TENTHS.share} of novel rows borrowed")
    return replace(named, trained_as=variant.name, neighbors=_THREE_TENTHS)


def _from_one(variant: Variant) -> Variant:
    return _with(variant, "gamma-one", "normalisation from scale 1", zero_gamma=False)


_SPREAD_ROWS = (*TABLE2[:3], WTN_PLUS, AE_WTN)
LENGTH = tuple(
    _longer(variant, length)
    for variant in (FASTER_RCNN, WTN_PLUS, AE_WTN, COSINE)
    for length in LENGTHS
)
SPREAD = tuple(row for variant in _SPREAD_ROWS for row in (variant, _spread(variant)))
START = (
    WTN,
    _with(WTN, "msra", "MSRA initialisation", initialization="msra"),
    WTN_PLUS,
    _from_one(WTN_PLUS),
    AE_WTN,
    _from_one(AE_WTN),
)
SWITCHES = (
    AE_WTN,
    *(_with(AE_WTN, f"alpha-{alpha}", f"alpha {alpha}", alpha=alpha) for alpha in (0, 5, 100)),
    _with(AE_WTN, "l2", "L2 reconstruction", reconstruction="l2"),
    _with(AE_WTN, "seen", "seen rows reconstructed", reconstructed="seen"),
    *(
        _with(AE_WTN, f"drawn-{n}", f"{n} rows a step reconstructed", reconstructed_count=n)
        for n in (50, 256)
    ),
    _with(AE_WTN, "class-bias", "a bias for each class", bias="per-class"),
    _with(AE_WTN, "slope-0.1", "LeakyReLU slope 0.1", negative_slope=0.1),
    _from_one(AE_WTN),
)

BEYOND = (
    FASTER_RCNN,
    ZSD,
    AE_WTN,
    Variant(
        "ae-wtn-normalized",
        "AE-WTN on features of one length",
        AE_WTN.settings | {"detector.normalize_features": True},
    ),
    COSINE,
    _mixed(AE_WTN),
    _mixed(COSINE),
)


def choose_variants(variants: Sequence[Variant], names: Sequence[str]) -> tuple[Variant, ...]:
    """Return the named variants in the order of the study; all of them without names.

    Raises:
        ConfigError: If a name is unknown; tells the nearest and all others.
    """
    known = [variant.name for variant in variants]
    for name in names:
        if name not in known:
            mend = " ".join(
                filter(None, [did_you_mean(name, known), f"Rows here: {', '.join(known)}."])
            )
            raise ConfigError(f"the study has no row {name!r}", mend=mend)
    return tuple(v for v in variants if not names or v.name in names)
