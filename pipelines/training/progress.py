"""How far a training has come, besides its weights: all that the next step and record depend on."""

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
    """

    iteration: int = 0
    skipped: int = 0
    skipped_images: int = 0
    window: Window = field(default_factory=Window)
    best: Best | None = None

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
