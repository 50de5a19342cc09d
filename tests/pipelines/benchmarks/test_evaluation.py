"""Tests for pipelines.benchmarks.evaluation and its command."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipelines.benchmarks import evaluation as benchmark
from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.official_comparison import evaluate_files
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.config import Metric
from pipelines.errors import RunError
from wtn_cli import benchmark_evaluation as command

pytestmark = pytest.mark.usefixtures("same_process")

measure_tiny = partial(
    benchmark.benchmark_evaluation, images=12, detections_per_image=5, classes=3, runs=2
)


def _official(checkout: Path, files: EvaluationFiles, *, metric: Metric) -> OfficialResult:
    return OfficialResult("pandas", 1e6, 1e5, 7, 0.5, evaluate_files(metric, files))


def test_each_metric_is_measured_at_three_sizes() -> None:
    """Seconds, seconds per million and memory are told by the number of detections."""
    found = measure_tiny()

    assert (found.images, found.detections, found.runs) == (12, 60, 2)
    assert list(found.metrics) == ["oid", "aewtn-release", "coco"]
    for cost in found.metrics.values():
        assert list(cost.seconds) == list(cost.peak_rss_bytes) == [15, 30, 60]
        rates = cost.seconds_per_million_detections
        assert rates[60] == pytest.approx(cost.seconds[60] / 60e-6)
        assert cost.cost_ratio_largest_to_smallest == rates[60] / rates[15]
    assert found.within_limit
    assert found.tensorflow is found.release is found.tensorflow_ratio is None


def test_coco_is_measured_where_it_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library that counts it is an extra."""
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)

    assert list(measure_tiny().metrics) == ["oid", "aewtn-release"]


def test_given_boxes_bound_the_number_of_images(world: SimpleNamespace) -> None:
    """More images than the file has boxes for are not to be had."""
    found = measure_tiny(boxes=world.boxes, images=1000)

    assert (found.images, found.detections, found.classes) == (6, 30, 5)


def test_official_evaluators_run_on_files_of_their_own_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their ratios come with the size that they were measured at."""
    for name, metric in (("run_tensorflow_challenge", "oid"), ("run_release", "aewtn-release")):
        monkeypatch.setattr(benchmark, name, partial(_official, metric=metric))

    found = measure_tiny(tensorflow_models=Path(), release=Path(), official_images=4)

    for beside in (found.tensorflow, found.release):
        assert beside is not None
        assert (beside.images, beside.detections, beside.max_difference) == (4, 20, 0.0)
    assert found.tensorflow_ratio == found.tensorflow.ratio
    assert found.release_ratio == found.release.ratio


def test_every_missed_promise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time, memory, agreement and speed each have a sentence with what was measured."""
    cost = benchmark.MetricCost({5: 1.0, 9: 31.0}, {}, {5: 1, 9: 2_500_000_000}, 1.3)
    monkeypatch.setattr(benchmark, "_cost", lambda *_: cost)
    monkeypatch.setattr(benchmark, "run_tensorflow_challenge", partial(_official, metric="oid"))
    compare = benchmark.compare
    monkeypatch.setattr(
        benchmark,
        "compare",
        lambda *given: replace(compare(*given), ratio=19.94, max_difference=0.5),
    )

    found = measure_tiny(tensorflow_models=Path())

    assert not found.within_limit
    assert found.missed == (
        "oid took 31.0 s, the limit is 30 s",
        "oid held 2,500,000,000 bytes, the limit is 2,000,000,000",
        "with the most detections oid took 1.30 times as long for each as with the fewest, "
        "the limit is 1.25",
        "aewtn-release took 31.0 s, the limit is 30 s",
        "aewtn-release held 2,500,000,000 bytes, the limit is 2,000,000,000",
        "with the most detections aewtn-release took 1.30 times as long for each as with the "
        "fewest, the limit is 1.25",
        "a figure differs from TensorFlow's by 0.5",
        "19.9 times as fast as TensorFlow's, not 20",
    )


def test_the_command_prints_one_json_object(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are printed even where a limit is missed, and then the run has failed."""
    monkeypatch.setattr(benchmark, "LIMIT_SECONDS", 0.0)

    with pytest.raises(RunError, match=r"^oid took 0\.\d s, the limit is 0 s; aewtn-release took"):
        command.evaluation(images=4, detections_per_image=2, classes=2, runs=1)

    printed = json.loads(capsys.readouterr().out)
    assert printed["detections"] == 8
    assert set(printed["metrics"]["oid"]["seconds"]) == {"2", "4", "8"}
