"""Tests for pipelines.data.image_prediction: the arrays of a prediction, and its drawing."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipelines.data.image_prediction import Detection, Prediction
from pipelines.data.pictures import read_file
from pipelines.drawing import COLOURS
from pipelines.errors import DatasetError

BUS = Detection("/m/01", "Bus", "seen", 3, 0.75, (1.5, 2, 30, 40))
CAT = Detection("/m/07", "Cat", "novel", 1, 0.5, (10, 20, 30, 40))


def prediction(*detections: Detection) -> Prediction:
    """Return a prediction of a black picture."""
    return Prediction(None, 64, 48, detections, lambda: torch.zeros(3, 48, 64, dtype=torch.uint8))


def test_arrays_follow_the_detections() -> None:
    """One row a detection, in the types that other libraries take."""
    found = prediction(BUS, CAT)

    assert found.boxes.tolist() == [[1.5, 2, 30, 40], [10, 20, 30, 40]]
    assert found.scores.tolist() == [0.75, 0.5]
    assert found.rows.tolist() == [3, 1]
    assert found.names.tolist() == ["Bus", "Cat"]
    assert (found.boxes.dtype, found.scores.dtype, found.rows.dtype) == (
        np.float32, np.float32, np.int64
    )  # fmt: skip


def test_nothing_found_is_no_special_case() -> None:
    """The arrays keep their dimensions and types, and the picture is drawn as it is."""
    found = prediction()

    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.rows.shape == found.names.shape == (0,)
    assert found.rows.dtype == np.int64
    assert np.asarray(found.draw()).max() == 0


def test_all_detections_are_drawn() -> None:
    """Each in the colour of its group."""
    pixels = set(map(tuple, np.asarray(prediction(BUS, CAT).draw()).reshape(-1, 3).tolist()))

    for group in ("seen", "novel"):
        assert tuple(bytes.fromhex(COLOURS[group][1:])) in pixels


def test_a_picture_is_read_when_it_is_drawn(tmp_path: Path) -> None:
    """So that many predictions take no memory; a file that has gone is named."""
    path = tmp_path / "a.png"
    found = Prediction(path, 64, 48, (), lambda: read_file(path))
    with pytest.raises(DatasetError) as error:
        found.draw()
    assert error.value.where == str(path)

    Image.new("RGB", (1000, 600), "lime").save(path)

    assert found.draw().getpixel((0, 0)) == (0, 255, 0)
