"""What detection costs as the number of classes grows, beside torchvision's detector.

Shapes: K classes.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.inference_limits import missed_limits, reason_to_skip
from pipelines.benchmarks.inference_models import InferenceSetup
from pipelines.benchmarks.inference_runs import (
    Stages,
    TorchvisionCost,
    our_passes,
    our_peak_bytes,
    torchvision_cost,
)
from pipelines.benchmarks.stage_clock import STAGES
from pipelines.config import BackboneName, Precision
from pipelines.devices import resolve_device
from pipelines.study.machine import describe_machine

CLASSES = (91, 500, 5000, 21_841)  # COCO's ids, the challenge, the paper, ImageNet
TORCHVISION_RUNS = 3  # it takes up to minutes

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Latency:
    """How long an image takes, from pixels to detections.

    Args:
        seconds: Of each pass.
        median_seconds: Of the passes.
        quartiles: Seconds that a quarter and three quarters of the passes stay under.
        stages: Median seconds of each stage: resize, backbone, rpn, head (RoI pooling, box head
            and box layer; with torchvision also the class scores), postprocess (with ours also the
            class scores, which are made block by block).
    """

    seconds: tuple[float, ...]
    median_seconds: float
    quartiles: tuple[float, float]
    stages: Mapping[str, float]


@dataclass(frozen=True)
class PostprocessCost:
    """Post-processing of the same logits and boxes, in median seconds.

    Args:
        ours: Ours.
        torchvision: ``RoIHeads.postprocess_detections``, given a background column of 0 and the
            box deltas once for each class, as it needs them; making these does not count.
    """

    ours: float
    torchvision: float


@dataclass(frozen=True)
class InferenceBenchmark:
    """What detection costs by number of classes, one image a pass.

    Args:
        setup: Backbone, size, device, precision, threads and image.
        machine: What it ran on.
        runs: Passes of ours with each vocabulary, in turn, after a warm-up.
        ours: Latency of our detector.
        torchvision: Latency of torchvision's around the same backbone, RPN and box head; up to
            three passes, or the only one where a pass takes more than half a minute.
        postprocess: Both ways to post-process the same logits.
        peak_memory_bytes: Most memory of a process that detects, ours and torchvision's; on a GPU
            what torch allocates there.
        end_to_end_ratio: Median over the rounds of our time over that with the fewest classes.
        postprocess_speedup: Torchvision's time over ours.
        peak_memory_ratio: Our memory over that with the fewest classes.
        skipped: Why torchvision was not measured.
        within_limit: Whether all promises are kept; they are made for ResNet-50 at 800 pixels.
        missed: What is not.
    """

    setup: InferenceSetup
    machine: Mapping[str, Any]
    runs: int
    ours: Mapping[int, Latency]
    torchvision: Mapping[int, Latency]
    postprocess: Mapping[int, PostprocessCost]
    peak_memory_bytes: Mapping[str, Mapping[int, int]]
    end_to_end_ratio: Mapping[int, float]
    postprocess_speedup: Mapping[int, float]
    peak_memory_ratio: Mapping[int, float]
    skipped: Mapping[int, str]
    within_limit: bool
    missed: tuple[str, ...]


def benchmark_inference(
    *,
    classes: Sequence[int] = CLASSES,
    backbone: BackboneName = "resnet50",
    size: int = 800,
    runs: int = 15,
    threads: int = 2,
    device: str = "auto",
    precision: Precision = "float32",
    image: Path | None = None,
    on_progress: Progress = lambda done, total, detail: None,
) -> InferenceBenchmark:
    """Measure latency by stages, post-processing and peak memory, ours and torchvision's.

    Args:
        classes: Numbers of classes; ratios are told against the first, the fewest.
        backbone: Its name.
        size: Shortest side of the resized image, in pixels.
        runs: Passes of ours with each number of classes.
        threads: Of the CPU.
        device: ``auto``, ``cpu``, ``cuda``, ...
        precision: Of convolutions and matrix products.
        image: A picture to detect in; None draws one of 640 x 480 pixels.
        on_progress: Called with the steps done and in all, and the next one.

    Raises:
        WTNError: If there is no such device or picture, or a process dies.
    """
    setup = InferenceSetup(backbone, size, str(resolve_device(device)), precision, threads, image)
    classes = sorted(set(classes))
    steps = _Steps(on_progress, runs + 1 + 2 * len(classes))
    rounds = _rounds(setup, classes, runs, steps)
    peaks = {k: _our_peak(setup, k, steps) for k in classes}
    stock, skipped = _torchvision(setup, classes, steps)
    result = _summary(setup, rounds, peaks, stock, skipped)
    steps.next("")
    return result


class _Steps:
    """Counts steps; each begins with what it is."""

    def __init__(self, on_progress: Progress, total: int) -> None:
        self._tell, self._done, self._total = on_progress, -1, total

    def next(self, detail: str) -> None:
        self._done += 1
        self._tell(self._done, self._total, detail)


def _rounds(
    setup: InferenceSetup, classes: Sequence[int], runs: int, steps: _Steps
) -> list[dict[int, Stages]]:
    """Return the stages of each pass, without those of the warm-up."""
    steps.next("warm-up")
    rounds = []
    for one in our_passes(setup, classes, runs):
        rounds.append(one)
        if len(rounds) <= runs:
            steps.next(f"round {len(rounds)} of {runs}")
    return rounds[1:]


def _our_peak(setup: InferenceSetup, classes: int, steps: _Steps) -> int:
    steps.next(f"memory, {classes} classes")
    return measure(our_peak_bytes, setup, classes).result


def _torchvision(
    setup: InferenceSetup, classes: Sequence[int], steps: _Steps
) -> tuple[dict[int, TorchvisionCost], dict[int, str]]:
    """Return what torchvision's detectors cost, and why some were not measured."""
    costs: dict[int, TorchvisionCost] = {}
    skipped: dict[int, str] = {}
    for k in classes:
        steps.next(f"torchvision, {k} classes")
        if reason := reason_to_skip(setup, k, costs):
            skipped[k] = reason
        else:
            costs[k] = measure(torchvision_cost, setup, k, TORCHVISION_RUNS).result
    return costs, skipped


def _summary(
    setup: InferenceSetup,
    rounds: Sequence[Mapping[int, Stages]],
    peaks: Mapping[int, int],
    stock: Mapping[int, TorchvisionCost],
    skipped: Mapping[int, str],
) -> InferenceBenchmark:
    fewest = min(peaks)
    end_to_end = {
        k: statistics.median(sum(one[k].values()) / sum(one[fewest].values()) for one in rounds)
        for k in peaks
    }
    postprocess = {k: _postprocess(cost) for k, cost in stock.items()}
    speedup = {k: cost.torchvision / cost.ours for k, cost in postprocess.items()}
    memory = {k: peak / peaks[fewest] for k, peak in peaks.items()}
    missed = missed_limits(setup, end_to_end, speedup, memory)
    return InferenceBenchmark(
        setup=setup,
        machine=describe_machine(setup.device),
        runs=len(rounds),
        ours={k: _latency([one[k] for one in rounds]) for k in peaks},
        torchvision={k: _latency(cost.passes) for k, cost in stock.items()},
        postprocess=postprocess,
        peak_memory_bytes={
            "ours": peaks,
            "torchvision": {k: cost.peak_bytes for k, cost in stock.items()},
        },
        end_to_end_ratio=end_to_end,
        postprocess_speedup=speedup,
        peak_memory_ratio=memory,
        skipped=skipped,
        within_limit=not missed,
        missed=missed,
    )


def _latency(passes: Sequence[Stages]) -> Latency:
    seconds = tuple(sum(one.values()) for one in passes)
    quarters = (
        statistics.quantiles(seconds, method="inclusive") if len(seconds) > 1 else seconds * 3
    )
    stages = {name: statistics.median(one[name] for one in passes) for name in STAGES}
    return Latency(seconds, statistics.median(seconds), (quarters[0], quarters[2]), stages)


def _postprocess(cost: TorchvisionCost) -> PostprocessCost:
    return PostprocessCost(
        statistics.median(cost.our_postprocess_seconds),
        statistics.median(cost.postprocess_seconds),
    )
