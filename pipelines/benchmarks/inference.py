"""What detection costs as the number of classes grows, beside torchvision's detector.

Shapes: K classes.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.inference_limits import reason_to_skip
from pipelines.benchmarks.inference_models import InferenceSetup
from pipelines.benchmarks.inference_result import InferenceBenchmark, summarize
from pipelines.benchmarks.inference_runs import (
    Stages,
    TorchvisionCost,
    our_passes,
    our_peak_bytes,
    torchvision_cost,
)
from pipelines.config import BackboneName, Precision
from pipelines.devices import resolve_device

CLASSES = (91, 500, 5000, 21_841)  # COCO's ids, the challenge, the paper, ImageNet
TORCHVISION_RUNS = 3  # it takes up to minutes

Progress = Callable[[int, int, str], None]


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
    result = summarize(setup, rounds, peaks, stock, skipped)
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
