"""Tests for pipelines.benchmarks.csv_libraries."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipelines.benchmarks import csv_libraries
from pipelines.benchmarks.csv_libraries import READERS, compare_csv_libraries
from pipelines.data.synthetic import write_synthetic_boxes


@pytest.fixture
def boxes_csv(tmp_path: Path) -> Path:
    """Return a file of 500 boxes."""
    write_synthetic_boxes(tmp_path / "boxes.csv", ["/m/1", "/m/2"], rows=500, images=50)
    return tmp_path / "boxes.csv"


@pytest.mark.parametrize("name", READERS)
def test_every_library_reads_the_same(boxes_csv: Path, name: str) -> None:
    """Numbers are equal, and codes tell the same rows apart."""
    if not find_spec(READERS[name].module):
        pytest.skip(f"{READERS[name].module} is not installed")
    expected = READERS["read_table (pyarrow)"].read(boxes_csv)

    columns = READERS[name].read(boxes_csv)

    assert columns.keys() == expected.keys()
    for column in ("XMin", "XMax", "YMin", "YMax", "IsGroupOf"):
        np.testing.assert_array_equal(columns[column], expected[column])
    for column in ("ImageID", "LabelName"):
        same = {*zip(columns[column].tolist(), expected[column].tolist(), strict=True)}
        assert len(same) == len({*expected[column].tolist()}) == len({*columns[column].tolist()})


def test_installed_libraries_are_measured(boxes_csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run has a process of its own; what is not installed is left out."""
    stdlib = READERS["csv"]
    absent = replace(stdlib, module="no_such_library")
    monkeypatch.setattr(csv_libraries, "READERS", {"absent": absent, "csv": stdlib})

    (timing,) = compare_csv_libraries(boxes_csv, runs=3)

    assert timing.library == "csv"
    assert len(timing.seconds) == 3
    assert min(timing.seconds) <= timing.median <= max(timing.seconds)
    assert 10e6 < timing.peak_rss_bytes < 1e9
