"""Tests for pipelines.benchmarks.data and its command."""

import json
import subprocess
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from pipelines.benchmarks import data as benchmark
from pipelines.benchmarks.feeding import Feeding
from pipelines.data.image_order import BALANCED_LENGTH

Wtn = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> benchmark.DataBenchmark:
    """Return the benchmark of a small drawn file."""
    classes = tmp_path_factory.mktemp("data") / "classes.csv"
    classes.write_text("LabelName,DisplayName\n/m/a,Ant\n/m/b,Bee\n/m/c,Cat\n")
    feeding = Feeding(1, 1.0, 1.0, True, (), (), (), 1, 1)
    return benchmark.benchmark_data(
        rows=3000, images=700, classes=classes, runs=2, time_feeding=lambda: feeding
    )


def test_it_measures_what_it_was_asked_to(result: benchmark.DataBenchmark) -> None:
    """The counts are those of the file that went through."""
    assert (result.rows, result.images, result.classes) == (3000, 700, 3)
    assert result.index_bytes > 3000 * 32  # four float64 a box
    assert result.iteration.entries == BALANCED_LENGTH
    assert result.iteration.groups == 2  # wide and high


def test_each_step_runs_by_itself(result: benchmark.DataBenchmark) -> None:
    """Every run counts, and what this process holds does not weigh on a step."""
    for step in (result.prepare, result.reopen, result.balance, result.check):
        assert len(step.seconds) == 2
        assert step.median_seconds == pytest.approx(sum(step.seconds) / 2)
        assert step.peak_rss_bytes < 300_000_000  # torch alone would take more


def test_a_missed_promise_is_an_error(
    wtn: Wtn, monkeypatch: pytest.MonkeyPatch, world: SimpleNamespace
) -> None:
    """The figures are printed all the same, and the exit code is 1."""
    monkeypatch.setattr(benchmark, "LIMIT_BYTES", 1)

    ended = wtn("benchmark", "data", "--rows", 50, "--images", 10, "--runs", 1,
                "--photos", world.images, "--workers", 1)  # fmt: skip

    assert ended.returncode == 1
    printed = json.loads(ended.stdout)
    assert (printed["rows"], printed["classes"], printed["within_limit"]) == (50, 500, False)
    assert printed["feeding"]["images"] == 6
    assert "bytes, the limit is 1" in printed["missed"][0]
