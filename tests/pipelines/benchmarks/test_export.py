"""Tests for pipelines.benchmarks.export and its command."""

import json
import subprocess
from collections.abc import Callable

import pytest

from pipelines.benchmarks import export as benchmark

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_command_prints_one_json_object(wtn: Wtn) -> None:
    """Every run is timed, and the median is held against the limit."""
    ended = wtn("benchmark", "export", "--classes", 40, "--width", 32, "--runs", 3)

    assert ended.returncode == 0, ended.stderr
    printed = json.loads(ended.stdout)
    assert (printed["classes"], printed["width"], len(printed["seconds"])) == (40, 32, 3)
    assert printed["median_seconds"] == sorted(printed["seconds"])[1] <= printed["limit_seconds"]
    assert printed["within_limit"] is True


def test_a_missed_limit_is_a_failed_run(wtn: Wtn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the limit the figures are still printed, and the exit code is 1."""
    monkeypatch.setattr(benchmark, "_time_export", lambda checkpoint, head: 9.0)

    ended = wtn("benchmark", "export", "--classes", 5, "--width", 32, "--runs", 1)

    assert ended.returncode == 1
    assert json.loads(ended.stdout)["within_limit"] is False
    assert "the export took 9.00 s, the limit is 2.0 s" in ended.stderr
