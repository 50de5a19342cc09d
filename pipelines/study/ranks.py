"""How alike two columns of figures order the same rows."""

import statistics
from collections.abc import Sequence

_FEWEST_TO_RANK = 3  # two rows agree or disagree by chance


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Return the correlation of ranks, ties sharing their mean rank; None where undefined."""
    if len(first) < _FEWEST_TO_RANK:
        return None
    try:
        return statistics.correlation(_ranks(first), _ranks(second))
    except statistics.StatisticsError:  # all equal
        return None


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]
