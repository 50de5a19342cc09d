"""How far a training has come, besides its weights: all that the next step and record depend on."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from pipelines.errors import ConfigError, did_you_mean
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
    """

    iteration: int = 0
    skipped: int = 0
    skipped_images: int = 0
    window: Window = field(default_factory=Window)
    best: Best | None = None

    def note_best(self, metric: str, figures: Mapping[str, float]) -> bool:
        """Keep an evaluation of now if it is the best so far, and tell whether it is.

        Args:
            metric: The figure that decides; the higher, the better. NaN is never the best.
            figures: What was measured, by name.

        Raises:
            ConfigError: If the metric is not among them.
        """
        if metric not in figures:
            known = f"There are: {', '.join(sorted(figures))}."
            raise ConfigError(
                f"checkpoints.keep_best is {metric!r}, which no evaluation measures",
                mend=" ".join(filter(None, [did_you_mean(metric, figures), known])),
            )
        is_best = figures[metric] > (self.best.value if self.best else -math.inf)
        if is_best:
            self.best = Best(self.iteration, figures[metric])
        return is_best

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
