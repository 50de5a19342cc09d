"""How long scoring a file of predictions takes, how that grows, and how long others take for it."""

import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.official_comparison import Comparison, compare, evaluate_files
from pipelines.benchmarks.official_evaluators import run_release, run_tensorflow_challenge
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.synthetic_detections import DrawnFiles, write_drawn_files
from pipelines.config import Metric
from pipelines.data.annotations import BoxTable
from pipelines.data.open_images import read_boxes
from pipelines.data.synthetic import write_synthetic_boxes
from pipelines.environment.hardware import available_cpus

SIZES = (0.25, 0.5, 1.0)  # shares of the images
_BOXES_PER_IMAGE = 1.6  # of the VG-200 annotations of the AE-WTN release
PROMISED: tuple[Metric, ...] = ("oid", "aewtn-release")
LIMIT_SECONDS = 30.0
LIMIT_BYTES = 2_000_000_000
LIMIT_COST_RATIO = 1.25
LEAST_RATIO = 20.0
LIMIT_DIFFERENCE = 1e-12
_PACKAGES = ("numpy", "torch", "pyarrow", "pandas", "faster_coco_eval")


@dataclass(frozen=True)
class MetricCost:
    """What one metric costs, by number of detections.

    Args:
        seconds: Median wall clock from files to figures.
        seconds_per_million_detections: The same, for a million.
        peak_rss_bytes: The most memory that a process held.
        cost_ratio_largest_to_smallest: What a detection costs among the most, over what it costs
            among the fewest; 1 is linear growth, and below it a fixed cost is spread.
    """

    seconds: Mapping[int, float]
    seconds_per_million_detections: Mapping[int, float]
    peak_rss_bytes: Mapping[int, int]
    cost_ratio_largest_to_smallest: float


@dataclass(frozen=True)
class EvaluationBenchmark:
    """How fast files of predictions are scored.

    Args:
        images: Images at the largest size.
        detections: Detections at the largest size.
        classes: Classes with boxes.
        runs: Of each measurement, each in a process of its own.
        metrics: The cost of each metric; ``coco`` is told where faster-coco-eval is installed, and
            promises nothing: another library counts.
        tensorflow: ``oid`` beside the evaluator of the TensorFlow Object Detection API, where a
            checkout is given.
        release: ``aewtn-release`` beside the evaluator of the AE-WTN release, likewise.
        tensorflow_ratio: How many times faster ours is, from files to figures.
        release_ratio: The same for the release.
        within_limit: Whether all that was measured keeps its promise.
        missed: What does not.
        cpus: Processors that the process may use.
        threads: Of torch.
        versions: Of the packages that matter, where they are installed.
        limit_seconds: What each metric promises to stay under at the largest size.
        limit_bytes: The same for memory.
        limit_cost_ratio: What a metric's ``cost_ratio_largest_to_smallest`` promises to stay under.
        least_tensorflow_ratio: What ``tensorflow_ratio`` promises to reach.
        limit_difference: How far a figure may be from the official one.
    """

    images: int
    detections: int
    classes: int
    runs: int
    metrics: Mapping[Metric, MetricCost]
    tensorflow: Comparison | None
    release: Comparison | None
    tensorflow_ratio: float | None
    release_ratio: float | None
    within_limit: bool
    missed: tuple[str, ...]
    cpus: int
    threads: int
    versions: Mapping[str, str]
    limit_seconds: float = LIMIT_SECONDS
    limit_bytes: int = LIMIT_BYTES
    limit_cost_ratio: float = LIMIT_COST_RATIO
    least_tensorflow_ratio: float = LEAST_RATIO
    limit_difference: float = LIMIT_DIFFERENCE


def benchmark_evaluation(
    *,
    images: int = 24_690,
    detections_per_image: int = 100,
    classes: int = 200,
    runs: int = 3,
    boxes: Path | None = None,
    image_sizes: str = "1024x768",
    tensorflow_models: Path | None = None,
    release: Path | None = None,
    official_images: int = 2_000,
) -> EvaluationBenchmark:
    """Score drawn detections at three sizes, and at one size as official evaluators do.

    Args:
        images: How many images at the largest size; at most those that have boxes.
        detections_per_image: In each of them.
        classes: Of drawn ground truth.
        runs: How often each measurement is repeated.
        boxes: Open Images box CSV to take the ground truth from; without it, it is drawn too.
        image_sizes: ``WIDTHxHEIGHT``, or a file of ``ImageID,height,width`` lines.
        tensorflow_models: A checkout of https://github.com/tensorflow/models.
        release: A checkout of https://github.com/xternalz/AE-WTN.
        official_images: How many images the official evaluators score, which takes them long.

    Raises:
        WTNError: If a file is bad, a folder is no such checkout, or an official evaluator fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        truth = _ground_truth(boxes, Path(folder) / "truth.csv", images, classes)
        write = partial(write_drawn_files, Path(folder), truth, image_sizes, detections_per_image)
        images = min(images, len(np.unique(truth.image)))
        warm_up = write(1).files
        beside = partial(_beside, write(min(official_images, images)), runs, warm_up)
        by_tensorflow = beside("oid", run_tensorflow_challenge, tensorflow_models)
        by_release = beside("aewtn-release", run_release, release)
        drawn = [write(max(1, round(share * images))) for share in SIZES]
        metrics = {metric: _cost(metric, drawn, runs, warm_up) for metric in _metrics()}
    missed = _missed(metrics, by_tensorflow, by_release)
    return EvaluationBenchmark(
        images=images,
        detections=drawn[-1].detections,
        classes=len(np.unique(truth.label)),
        runs=runs,
        metrics=metrics,
        tensorflow=by_tensorflow,
        release=by_release,
        tensorflow_ratio=by_tensorflow.ratio if by_tensorflow else None,
        release_ratio=by_release.ratio if by_release else None,
        within_limit=not missed,
        missed=missed,
        cpus=available_cpus(),
        threads=torch.get_num_threads(),
        versions=_versions(),
    )


def _ground_truth(given: Path | None, drawn: Path, images: int, classes: int) -> BoxTable:
    if given is not None:
        return read_boxes(given, "keep")
    class_ids = [f"class-{number}" for number in range(classes)]
    write_synthetic_boxes(drawn, class_ids, rows=round(_BOXES_PER_IMAGE * images), images=images)
    return read_boxes(drawn)


def _beside(
    drawn: DrawnFiles,
    runs: int,
    warm_up: EvaluationFiles,
    metric: Metric,
    run_official: Callable[[Path, EvaluationFiles], OfficialResult],
    checkout: Path | None,
) -> Comparison | None:
    if checkout is None:
        return None
    return compare(metric, drawn, partial(run_official, checkout), runs, warm_up)


def _cost(
    metric: Metric, sizes: Sequence[DrawnFiles], runs: int, warm_up: EvaluationFiles
) -> MetricCost:
    measure_one = partial(measure, evaluate_files, metric, warm_up=(metric, warm_up))
    measured = {
        drawn.detections: [measure_one(drawn.files) for _ in range(runs)] for drawn in sizes
    }
    seconds = {
        detections: statistics.median(run.seconds for run in repeated)
        for detections, repeated in measured.items()
    }
    per_million = {detections: 1e6 * taken / detections for detections, taken in seconds.items()}
    return MetricCost(
        seconds,
        per_million,
        {size: max(run.peak_rss_bytes for run in repeated) for size, repeated in measured.items()},
        per_million[max(per_million)] / per_million[min(per_million)],
    )


def _missed(
    costs: Mapping[Metric, MetricCost], tensorflow: Comparison | None, release: Comparison | None
) -> tuple[str, ...]:
    """Say of each promise that is not kept what was measured."""
    missed = []
    for metric in PROMISED:
        cost = costs[metric]
        seconds, peak = max(cost.seconds.values()), max(cost.peak_rss_bytes.values())
        if seconds > LIMIT_SECONDS:
            missed.append(f"{metric} took {seconds:.1f} s, the limit is {LIMIT_SECONDS:g} s")
        if peak > LIMIT_BYTES:
            missed.append(f"{metric} held {peak:,} bytes, the limit is {LIMIT_BYTES:,}")
        if cost.cost_ratio_largest_to_smallest > LIMIT_COST_RATIO:
            missed.append(
                f"with the most detections {metric} took {cost.cost_ratio_largest_to_smallest:.2f} "
                f"times as long for each as with the fewest, the limit is {LIMIT_COST_RATIO:g}"
            )
    for peer, comparison in (("TensorFlow's", tensorflow), ("the release's", release)):
        if comparison and comparison.max_difference > LIMIT_DIFFERENCE:
            missed.append(f"a figure differs from {peer} by {comparison.max_difference:g}")
    if tensorflow and tensorflow.ratio < LEAST_RATIO:
        missed.append(f"{tensorflow.ratio:.1f} times as fast as TensorFlow's, not {LEAST_RATIO:g}")
    return tuple(missed)


def _metrics() -> tuple[Metric, ...]:
    return (*PROMISED, "coco") if find_spec("faster_coco_eval") else PROMISED


def _versions() -> dict[str, str]:
    return {name: version(name) for name in _PACKAGES if find_spec(name)}
