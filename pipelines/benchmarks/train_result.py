"""What the benchmark of training found, and the figures that are made of its measurements."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines.benchmarks.train_limits import (
    LIMIT_MEMORY,
    LIMIT_TIME,
    is_promised,
    judged_methods,
    missed_limits,
    missed_reference,
    paper_ratios,
)
from pipelines.benchmarks.train_setup import PLAIN, TrainSetup
from pipelines.study.machine import describe_machine

Rounds = Sequence[Mapping[str, float]]  # seconds of a step by contestant, round by round
REFERENCE, ALIKE = "engine.py", "ours, alike"


@dataclass(frozen=True)
class StepCost:
    """What a step costs.

    Args:
        seconds: Mean of the steps of each round.
        median_seconds: Of the rounds.
        images_per_second: At that.
        peak_memory_bytes: See :class:`TrainBenchmark`.
    """

    seconds: tuple[float, ...]
    median_seconds: float
    images_per_second: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Difference:
    """What a way to train faster brings.

    Args:
        images_per_second: With it, or without it, as its name says.
        speed_ratio: Over the defaults; the median of the rounds' ratios.
        peak_memory_bytes: See :class:`TrainBenchmark`.
        memory_ratio: Over the defaults.
    """

    images_per_second: float
    speed_ratio: float
    peak_memory_bytes: int
    memory_ratio: float


@dataclass(frozen=True)
class AgainstReference:
    """Faster R-CNN with torchvision's reference loop, in the rounds of the methods.

    Args:
        images_per_second: Of ``engine.py``, of our step with the same SGD and float32 images, and
            of our defaults.
        speed_ratio: Of the latter two over the first; medians of the rounds' ratios.
    """

    images_per_second: Mapping[str, float]
    speed_ratio: Mapping[str, float]


@dataclass(frozen=True)
class TrainBenchmark:
    """What a training step costs by method: the paper's Table 4, ours beside it.

    Args:
        setup: Sizes, device, precision and threads.
        machine: What it ran on.
        runs: Rounds in which all took turns, after a warm-up.
        methods: Of each method.
        time_ratio: Over Faster R-CNN's; the median of the rounds' ratios.
        memory_ratio: Over Faster R-CNN's, of the most bytes that torch gave out at a time: weights,
            states of the optimizers, gradients and activations.
        paper: Both ratios of the paper.
        limits: The ratios that AE-WTN, or AE-WTN with drawn classes, stays under on a GPU at the
            paper's size in float32.
        ablation: Ways to train faster, where asked for.
        reference: Where it was measured.
        skipped: Why something was not.
        judged: The methods of which one must stay under both limits; none where the promises are
            not made for what was measured.
        within_limit: Whether no promise is broken; None where none was judged.
        missed: What is not kept.
    """

    setup: TrainSetup
    machine: Mapping[str, Any]
    runs: int
    methods: Mapping[str, StepCost]
    time_ratio: Mapping[str, float]
    memory_ratio: Mapping[str, float]
    paper: Mapping[str, Mapping[str, float]]
    limits: Mapping[str, float]
    ablation: Mapping[str, Difference] | None
    reference: AgainstReference | None
    skipped: Mapping[str, str]
    judged: tuple[str, ...]
    within_limit: bool | None
    missed: tuple[str, ...]


def summarize(
    setup: TrainSetup,
    rounds: Rounds,
    peaks: Mapping[str, int],
    ablation: Mapping[str, Difference] | None,
    skipped: Mapping[str, str],
) -> TrainBenchmark:
    """Return the figures and what is missed.

    Args:
        setup: What was measured.
        rounds: Of the methods, and of the reference loop where it ran.
        peaks: Peak memory in bytes of each method.
        ablation: What was measured of it.
        skipped: Why something was not.
    """
    time_ratio = {method: median_ratio(rounds, method, PLAIN) for method in setup.methods}
    memory_ratio = {method: peaks[method] / peaks[PLAIN] for method in setup.methods}
    reference = _against_reference(setup, rounds) if REFERENCE in rounds[0] else None
    missed = missed_limits(setup, time_ratio, memory_ratio) + missed_reference(
        setup, reference.speed_ratio[PLAIN] if reference else None
    )
    return TrainBenchmark(
        setup=setup,
        machine=describe_machine(setup.device) | {"threads": setup.threads},
        runs=len(rounds),
        methods={m: _cost(setup, [one[m] for one in rounds], peaks[m]) for m in setup.methods},
        time_ratio=time_ratio,
        memory_ratio=memory_ratio,
        paper=paper_ratios(),
        limits={"time_ratio": LIMIT_TIME, "memory_ratio": LIMIT_MEMORY},
        ablation=ablation,
        reference=reference,
        skipped=skipped,
        judged=judged_methods(setup),
        within_limit=not missed if is_promised(setup) else None,
        missed=missed,
    )


def compare(
    setup: TrainSetup, rounds: Rounds, peaks: Mapping[str, int], default: str
) -> dict[str, Difference]:
    """Return what each contestant costs against the ``default``."""
    return {
        name: Difference(
            images_per_second=_speed(setup, rounds, name),
            speed_ratio=median_ratio(rounds, default, name),
            peak_memory_bytes=peak,
            memory_ratio=peak / peaks[default],
        )
        for name, peak in peaks.items()
    }


def median_ratio(rounds: Rounds, one: str, other: str) -> float:
    """Return the median over the rounds of the seconds of one over those of another."""
    return statistics.median(seconds[one] / seconds[other] for seconds in rounds)


def _cost(setup: TrainSetup, seconds: Sequence[float], peak: int) -> StepCost:
    median = statistics.median(seconds)
    return StepCost(tuple(seconds), median, setup.images / median, peak)


def _speed(setup: TrainSetup, rounds: Rounds, name: str) -> float:
    return setup.images / statistics.median(seconds[name] for seconds in rounds)


def _against_reference(setup: TrainSetup, rounds: Rounds) -> AgainstReference:
    ours = (ALIKE, PLAIN)
    return AgainstReference(
        {name: _speed(setup, rounds, name) for name in (REFERENCE, *ours)},
        {name: median_ratio(rounds, REFERENCE, name) for name in ours},
    )
