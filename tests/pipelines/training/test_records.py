"""Tests for pipelines.training.records."""

import pytest

from pipelines.training import records
from pipelines.training.records import Stopwatch


def test_an_evaluation_does_not_slow_the_training_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps of three seconds each are two images a second, whatever came between them."""
    now = 10.0
    monkeypatch.setattr(records.time, "perf_counter", lambda: now)
    watch = Stopwatch()

    now += 3.0
    watch.count(6)
    with watch.paused():
        now += 100.0
    now += 3.0
    watch.count(6)
    timing = watch.read(2, 12, memory_bytes=0)

    assert (timing.seconds, timing.images_per_second, timing.seconds_left) == (6.0, 2.0, 30.0)
