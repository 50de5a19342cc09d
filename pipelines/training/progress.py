"""How far a training has come, besides its weights: all that the next step and record depend on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pipelines.training.records import Window


@dataclass(frozen=True)
class Best:
    """The best evaluation so far.

    Args:
        iteration: Steps before it.
        value: Of the metric that decides.
    """

    iteration: int
    value: float


@dataclass
class Progress:
    """Counters of a training.

    Args:
        iteration: Steps so far, those left out among them.
        skipped: Steps left out, because a loss was not finite.
        skipped_images: Looks at images that do not decode.
        window: Sums since the last record.
        best: The best evaluation, if one decides.
        evaluation_is_open: Whether the evaluation after these steps is still to be done.
    """

    iteration: int = 0
    skipped: int = 0
    skipped_images: int = 0
    window: Window = field(default_factory=Window)
    best: Best | None = None
    evaluation_is_open: bool = False

    def note_evaluation(self, figure: float | None) -> None:
        """Note that the evaluation of now is done.

        Args:
            figure: That decides which is the best; the higher, the better, and of equal ones the
                first. NaN is never the best. None if none decides.
        """
        self.evaluation_is_open = False
        if figure is not None and figure > (self.best.value if self.best else -math.inf):
            self.best = Best(self.iteration, figure)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, which keep every bit."""
        return asdict(self)

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` was made from.

        Raises:
            TypeError, KeyError: If it was something else.
        """
        best = tree["best"]
        nested = {"window": Window(**tree["window"]), "best": Best(**best) if best else None}
        return cls(**{**tree, **nested})
