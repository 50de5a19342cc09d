"""The rows of the studies: which settings, and what stands for them in the paper.

Source: Kuen et al., ICCV 2019, Tables 1 to 3 and section 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.config import NeighborSettings
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


def _head(method: str, **settings: Any) -> Assignments:  # noqa: ANN401 - any setting
    return {"head.method": method} | {f"head.{key}": value for key, value in settings.items()}


_WEIGHT_DECAY_5X = {"optimizer.transfer_weight_decay": 0.5}  # five times the release's 0.1
_ALL_NEIGHBORS_BY_WEIGHTS = NeighborSettings(weights="softmax")

FASTER_RCNN = Variant("faster-rcnn-nn", "Faster R-CNN (NN)", _head("faster-rcnn"))
LSDA = Variant("lsda", "LSDA", _head("lsda"))
WTN = Variant("wtn", "WTN", _head("wtn"))
WTN_PLUS = Variant("wtn+", "WTN+", _head("wtn+"))
AE_WTN = Variant("ae-wtn", "AE-WTN", _head("ae-wtn"))

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
    Variant("zsd", "ZSD with classifier weights", _head("zsd")),
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
