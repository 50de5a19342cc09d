"""Tests for pipelines.training.logs."""

from pathlib import Path

import pytest

from pipelines.training import logs

WHOLE = '{"iteration": 1, "x": 0.1}\n{"iteration": 2, "x": NaN}\n{"iteration": 2, "y": 1e-05}\n'


@pytest.mark.parametrize(
    "tail",
    ["", '{"iteration": 3}\n', '{"iterat', '{"iteration": 2}', "\x00\x00\n", '{"x": 1}\n', "[]\n"],
)
def test_a_log_is_cut_back_to_an_iteration(tail: str, tmp_path: Path) -> None:
    """Later records and torn lines go; what stays keeps its very bytes."""
    path = tmp_path / "metrics.jsonl"
    path.write_text(WHOLE + tail)

    logs.keep(path, lambda record: record["iteration"] <= 2)

    assert path.read_text() == WHOLE


def test_a_log_begins_empty(tmp_path: Path) -> None:
    """One that is not there is made, and records are appended as lines."""
    path = tmp_path / "metrics.jsonl"

    logs.keep(path, lambda record: False)
    assert path.read_text() == ""
    logs.append(path, {"iteration": 1})
    logs.append(path, {"iteration": 2})

    assert path.read_text() == '{"iteration": 1}\n{"iteration": 2}\n'
