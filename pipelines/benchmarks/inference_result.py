"""What the benchmark of detection found, and the figures that are made of its measurements."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.benchmarks.inference_limits import missed_limits
from pipelines.benchmarks.inference_models import InferenceSetup
from pipelines.benchmarks.inference_runs import Stages, TorchvisionCost
from pipelines.benchmarks.stage_clock import STAGES
from pipelines.study.machine import describe_machine


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
        end_to_end_ratio: Our time over that with the fewest classes: the median over the rounds of
            each round's ratio of whole passes.
        stage_ratio: The same from medians of the stages. All but the last do the same whatever the
            classes, so all passes tell their time: it scatters less on a busy machine.
        postprocess_speedup: Torchvision's time over ours.
        peak_memory_ratio: Our memory over that with the fewest classes.
        skipped: Why torchvision was not measured.
        within_limit: Whether no promise is broken; they are made for ResNet-50 at 800 pixels in
            float32, on two threads of a CPU and on a GPU.
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
    stage_ratio: Mapping[int, float]
    postprocess_speedup: Mapping[int, float]
    peak_memory_ratio: Mapping[int, float]
    skipped: Mapping[int, str]
    within_limit: bool
    missed: tuple[str, ...]


def summarize(
    setup: InferenceSetup,
    rounds: Sequence[Mapping[int, Stages]],
    peaks: Mapping[int, int],
    stock: Mapping[int, TorchvisionCost],
    skipped: Mapping[int, str],
) -> InferenceBenchmark:
    """Return the figures and what is missed.

    Args:
        setup: What was measured.
        rounds: The stages of a pass with each number of classes, round by round.
        peaks: Our peak memory in bytes.
        stock: What torchvision's detectors cost.
        skipped: Why some were not measured.
    """
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
        stage_ratio=_stage_ratio(rounds),
        postprocess_speedup=speedup,
        peak_memory_ratio=memory,
        skipped=skipped,
        within_limit=not missed,
        missed=missed,
    )


def _stage_ratio(rounds: Sequence[Mapping[int, Stages]]) -> dict[int, float]:
    *shared, own = STAGES
    passes = [stages for one in rounds for stages in one.values()]
    before = sum(statistics.median(stages[name] for stages in passes) for name in shared)
    seconds = {k: before + statistics.median(one[k][own] for one in rounds) for k in rounds[0]}
    return {k: taken / seconds[min(seconds)] for k, taken in seconds.items()}


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
