"""What an official evaluator found."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OfficialResult:
    """What an official evaluator found, and how long it took.

    Args:
        reader: Who read the files: ``pandas``, as the evaluator's own script does, or ``wtn``.
        seconds: From the files to the figures.
        scoring_seconds: From arrays in memory to the figures.
        peak_rss_bytes: The most memory that its process held.
        mean_ap: Mean average precision.
        per_class: Average precision by class id; NaN for a class without ground truth.
    """

    reader: str
    seconds: float
    scoring_seconds: float
    peak_rss_bytes: int
    mean_ap: float
    per_class: Mapping[str, float]
