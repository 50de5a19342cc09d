"""Tests for pipelines.data.predictions."""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.data.predictions import PredictionTable, read_predictions, write_predictions

finite = st.floats(allow_nan=False, allow_infinity=False)
prediction_rows = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 1), finite, finite, finite, finite, finite)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(prediction_rows)
def test_predictions_survive_a_round_trip(
    tmp_path: Path, rows: list[tuple[int, int, float, float, float, float, float]]
) -> None:
    """Every number comes back bit for bit and every row in its place."""
    path = tmp_path / "predictions.csv"
    columns = np.array(rows, np.float64).reshape(len(rows), 7)
    written = PredictionTable(
        ("i", 'j"', "k,l"), columns[:, 0].astype(np.int64),
        ("/m/a", "/m/b"), columns[:, 1].astype(np.int64),
        columns[:, 2], columns[:, 3:],
    )  # fmt: skip

    write_predictions(path, written)

    read = read_predictions(path)
    assert read.score.tobytes() == written.score.tobytes()
    assert read.boxes.tobytes() == written.boxes.tobytes()
    assert [read.image_ids[i] for i in read.image] == [written.image_ids[i] for i in written.image]
    assert [read.class_ids[i] for i in read.label] == [written.class_ids[i] for i in written.label]


def test_predictions_have_the_layout_of_the_challenge(tmp_path: Path) -> None:
    """The header and the order of the corners are those of a submission."""
    path = tmp_path / "new" / "predictions.csv"
    zero = np.zeros(1, np.int64)
    corners = np.array([[0.1, 0.2, 0.3, 0.4]])

    write_predictions(path, PredictionTable(("i",), zero, ("/m/a",), zero, np.ones(1), corners))

    assert path.read_text() == (
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\ni,/m/a,1,0.1,0.3,0.2,0.4\n"
    )
