"""What a training step costs by method, beside the paper's Table 4 and torchvision's own loop."""

import gc
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch

from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.train_ablation import DEFAULT, contestants, reasons_to_skip
from pipelines.benchmarks.train_reference import ReferenceTurn, reason_to_skip
from pipelines.benchmarks.train_result import (
    ALIKE,
    REFERENCE,
    Difference,
    TrainBenchmark,
    compare,
    summarize,
)
from pipelines.benchmarks.train_runs import (
    Contestant,
    OurTurn,
    Turn,
    cpu_threads,
    peak_bytes,
    rounds,
)
from pipelines.benchmarks.train_setup import DRAWN, PLAIN, TrainSetup, setup_for
from pipelines.config import BackboneName, Precision
from pipelines.devices import resolve_device

Tell = Callable[[int, int, str], None]


def benchmark_train(
    *,
    backbone: BackboneName | None = None,
    size: int | None = None,
    images: int = 2,
    classes: int | None = None,
    width: int | None = None,
    drawn: int = 256,
    runs: int = 15,
    threads: int = 2,
    device: str = "auto",
    precision: Precision = "float32",
    ablation: bool = False,
    reference: Path | None = None,
    on_progress: Tell = lambda done, total, detail: None,
) -> TrainBenchmark:
    """Measure steps of each method in turns, and their peak memory in processes of their own.

    Args:
        backbone: Its name; None, as for the sizes after it, takes the paper's on a GPU and
            a smaller one on a CPU.
        size: Shortest side of the resized images, in pixels.
        images: Of a batch.
        classes: Of the classifier.
        width: Of classifier rows and RoI features.
        drawn: Classes reconstructed in a step by ``ae-wtn-drawn``.
        runs: Rounds.
        threads: Of the CPU.
        device: ``auto``, ``cpu``, ``cuda``, ...
        precision: Of convolutions and matrix products.
        ablation: Also measure each way to train faster.
        reference: A checkout of pytorch/vision, whose loop takes its turns too.
        on_progress: Called with the steps done and in all, and the next one.

    Raises:
        ConfigError: If there is no such device or checkout, or the width does not fit.
        RunError: If a loss is not finite, or a process dies.
    """
    given = {
        "backbone": backbone,
        "size": size,
        "images": images,
        "classes": classes,
        "width": width,
    }
    setup = setup_for(resolve_device(device), precision, threads, drawn, given)
    reason = reason_to_skip(setup, reference)
    variants = contestants(setup) if ablation else {}
    skipped = reasons_to_skip(setup, variants)
    variants = {name: one for name, one in variants.items() if name not in skipped}
    groups = 2 if variants else 1
    methods = {method: Contestant(method) for method in setup.methods}
    progress = _Progress(on_progress, groups * (1 + runs) + len(methods) + len(variants))
    others: dict[str, Callable[[], Turn]] = {}
    if reference is not None and reason is None:
        others[REFERENCE] = partial(ReferenceTurn, setup, reference)
        others[ALIKE] = partial(OurTurn, setup, Contestant(PLAIN, {"fused": False}, True))
    in_turns = _in_turns(setup, methods, others, runs, progress)
    peaks = _peaks(setup, methods, progress)
    differences = _ablation(setup, variants, runs, progress) if variants else None
    skipped |= {} if reason is None else {REFERENCE: reason}
    skipped |= {} if DRAWN in methods else {DRAWN: _all_drawn(setup)}
    result = summarize(setup, in_turns, peaks, differences, skipped)
    progress.next("")
    return result


def _all_drawn(setup: TrainSetup) -> str:
    return f"{setup.drawn} drawn classes are all of the {setup.classes}, as in ae-wtn"


class _Progress:
    """Counts steps; each begins with what it is."""

    def __init__(self, tell: Tell, total: int) -> None:
        self._tell, self._done, self._total = tell, -1, total

    def next(self, detail: str) -> None:
        self._done += 1
        self._tell(self._done, self._total, detail)


def _in_turns(
    setup: TrainSetup,
    ours: Mapping[str, Contestant],
    others: Mapping[str, Callable[[], Turn]],
    runs: int,
    progress: _Progress,
) -> list[dict[str, float]]:
    """Return the seconds of a step of each, round by round, without the warm-up."""
    progress.next("warm-up")
    with cpu_threads(setup.threads):
        turns: dict[str, Turn] = {name: OurTurn(setup, one) for name, one in ours.items()}
        turns |= {name: build() for name, build in others.items()}
        done = []
        for seconds in rounds(setup, turns, runs):
            done.append(seconds)
            if len(done) <= runs:
                progress.next(f"round {len(done)} of {runs}")
    return done[1:]


def _peaks(
    setup: TrainSetup, ours: Mapping[str, Contestant], progress: _Progress
) -> dict[str, int]:
    """Return the peak memory of each in bytes."""
    gc.collect()
    torch.cuda.empty_cache()  # of a GPU that the new processes share with this one
    peaks = {}
    for name, one in ours.items():
        progress.next(f"memory, {name}")
        peaks[name] = measure(peak_bytes, setup, one).result
    return peaks


def _ablation(
    setup: TrainSetup, variants: Mapping[str, Contestant], runs: int, progress: _Progress
) -> dict[str, Difference]:
    in_turns = _in_turns(setup, variants, {}, runs, progress)
    return compare(setup, in_turns, _peaks(setup, variants, progress), DEFAULT)
