"""How many right and wrong detections have which score.

Shapes: n detections of one class, B bins.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.metrics.judgement import Judgement

EDGES = np.linspace(0, 1, 51)  # of the B bins


class ScoreCounts:
    """Counts over all classes that were added; scores outside of 0 to 1 go to the nearest bin.

    Attributes:
        right: ``[B]`` int64.
        wrong: ``[B]`` int64.
    """

    def __init__(self) -> None:
        self.right, self.wrong = (np.zeros(len(EDGES) - 1, np.int64) for _ in range(2))

    def add(self, judged: Judgement) -> None:
        """Count the detections of one class."""
        is_right = judged.credit > 0
        self.right += _histogram(judged.score[is_right])
        self.wrong += _histogram(judged.score[~is_right])


def _histogram(score: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    return np.histogram(score.clip(0, 1), EDGES)[0].astype(np.int64)
