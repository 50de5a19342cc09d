"""Tests for pipelines.data.predictions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.data.predictions import (
    PredictionTable,
    iter_predictions,
    prediction_writer,
    read_predictions,
    write_predictions,
)

CORNERS = np.array([[0.1, 0.2, 0.3, 0.4]])

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

    write_predictions(path, PredictionTable(("i",), zero, ("/m/a",), zero, np.ones(1), CORNERS))

    assert path.read_text() == (
        "ImageID,LabelName,Score,XMin,XMax,YMin,YMax\ni,/m/a,1,0.1,0.3,0.2,0.4\n"
    )


@pytest.mark.parametrize("names", [("i", "j"), ("i,1", 'j"')])
def test_blocks_follow_each_other_in_the_file(tmp_path: Path, names: tuple[str, str]) -> None:
    """Each has ids of its own; read block by block, every row is in its place."""
    path = tmp_path / "predictions.csv"
    zero = np.zeros(1, np.int64)
    with prediction_writer(path) as write:
        for name, score in zip(names, (0.25, 1 / 3), strict=True):
            write(PredictionTable((name,), zero, ("/m/a",), zero, np.array([score]), CORNERS))
        assert not path.exists()

    blocks = list(iter_predictions(path))

    assert [b.image_ids[image] for b in blocks for image in b.image] == list(names)
    assert [score for block in blocks for score in block.score] == [0.25, 1 / 3]


def test_a_file_that_was_not_finished_is_not_left(tmp_path: Path) -> None:
    """An error between two blocks leaves what was there before."""
    path = tmp_path / "predictions.csv"

    with pytest.raises(KeyboardInterrupt), prediction_writer(path):
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_a_file_without_detections_has_no_block(tmp_path: Path) -> None:
    """Its header alone is a good file."""
    path = tmp_path / "predictions.csv"
    with prediction_writer(path):
        pass

    assert list(iter_predictions(path)) == []
    assert len(read_predictions(path)) == 0
