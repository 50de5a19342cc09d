"""Tests for pipelines.metrics.competition."""

from collections.abc import Sequence
from contextlib import closing

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelines.metrics.competition import Competition, ImageRanking
from pipelines.metrics.joining import Detections

NUM_IMAGES, NUM_CLASSES = 700, 3  # more images than are ranked at once
Row = tuple[int, int, float]

rows_of_detections = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 699]), st.integers(0, 2), st.sampled_from([0.1, 0.5, 0.9])),
    max_size=30,
)


def _detections(rows: Sequence[Row]) -> Detections:
    columns = np.array(rows, np.float64).reshape(-1, 3)
    image, label = columns[:, :2].astype(np.int64).T
    return Detections(image, label, np.zeros((len(rows), 4)), columns[:, 2])


@given(rows_of_detections, st.integers(1, 4), st.sets(st.integers(0, 2), min_size=1))
def test_the_best_of_an_image_have_its_places(
    rows: list[Row], limit: int, classes: set[int]
) -> None:
    """The places go by descending score, then by arrival, to the members of the competition."""
    members = np.isin(np.arange(NUM_CLASSES), list(classes))
    competition = Competition(members, limit, NUM_IMAGES)
    with closing(ImageRanking(NUM_IMAGES)) as ranking:
        for start in range(0, len(rows), 7):
            block = _detections(rows[start : start + 7])
            competition.count(block)
            ranking.add(block, start + np.arange(len(block.image)))
        ranking.decide([competition])

    competing = [place for place, row in enumerate(rows) if row[1] in classes]
    best = sorted(competing, key=lambda place: (-rows[place][2], place))
    expected = [
        place
        for place in competing
        if [p for p in best if rows[p][0] == rows[place][0]].index(place) < limit
    ]
    admitted = competition.admits(
        _detections([rows[place] for place in competing]), np.array(competing, np.int64)
    )
    assert np.array(competing)[admitted].tolist() == expected
    assert competition.is_full == (len(expected) < len(competing))
    assert set(np.flatnonzero(competition.has_detections)) == {rows[p][0] for p in competing}
