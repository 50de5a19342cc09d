"""Tests for pipelines.metrics.joining."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.metrics.joining import Detections, by_image

rows_of_detections = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([0.1, 0.2, 0.2 + 1e-12, 0.9])), max_size=120
)


@given(rows_of_detections, st.sampled_from([np.float32, np.float64]))
def test_equal_scores_come_in_the_order_of_the_official_evaluators(
    rows: list[tuple[int, float]], dtype: type
) -> None:
    """Each image is sorted as if it were alone, whatever numpy does with as many scores."""
    image = np.array([row[0] for row in rows], np.int64)
    score = np.array([row[1] for row in rows], dtype)
    arrival = np.arange(len(rows))
    boxes = np.repeat(arrival[:, None], 4, axis=1)

    found = by_image(Detections(image, np.zeros_like(image), boxes, score))

    expected = [
        row
        for own in range(6)
        for row in arrival[image == own][np.argsort(score[image == own])[::-1]]
    ]
    assert found.boxes[:, 0].tolist() == expected
    assert found.score.dtype == dtype
