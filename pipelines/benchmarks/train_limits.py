"""What training promises: AE-WTN costs hardly more than Faster R-CNN, ours no more than theirs."""

from collections.abc import Mapping

import torch

from pipelines.benchmarks.train_setup import DRAWN, TrainSetup
from pipelines.study.paper import TABLE4

LIMIT_TIME = 1.03  # times Faster R-CNN's, of AE-WTN
LIMIT_MEMORY = 1.02  # likewise
LEAST_AGAINST_REFERENCE = 1.0  # images per second over those of torchvision's loop
JUDGED = ("ae-wtn", DRAWN)  # one of them must keep both limits, where they are measured


def paper_ratios() -> dict[str, dict[str, float]]:
    """Return the paper's Table 4 against Faster R-CNN."""
    plain = TABLE4["faster-rcnn"]
    return {
        "time_ratio": {m: cost.milliseconds / plain.milliseconds for m, cost in TABLE4.items()},
        "memory_ratio": {m: cost.gigabytes / plain.gigabytes for m, cost in TABLE4.items()},
    }


def missed_limits(
    setup: TrainSetup, time_ratio: Mapping[str, float], memory_ratio: Mapping[str, float]
) -> tuple[str, ...]:
    """Say of each promise that is not kept what was measured.

    They are made for the paper's size in float32 on a GPU, and judged nowhere else.
    """
    judged = judged_methods(setup)
    if not judged or any(
        time_ratio[method] <= LIMIT_TIME and memory_ratio[method] <= LIMIT_MEMORY
        for method in judged
    ):
        return ()
    measured = " and ".join(
        f"{method} took {time_ratio[method]:.3f} times the time and {memory_ratio[method]:.3f} "
        "times the memory"
        for method in judged
    )
    limits = f"the limits are {LIMIT_TIME:g} and {LIMIT_MEMORY:g}"
    return (f"{measured} of Faster R-CNN, {limits}",)


def missed_reference(setup: TrainSetup, ratio: float | None) -> tuple[str, ...]:
    """Say what was measured if our defaults are slower than torchvision's loop."""
    if ratio is None or ratio >= LEAST_AGAINST_REFERENCE or not is_promised(setup):
        return ()
    return (f"training was {ratio:.3f} times as fast as torchvision's engine.py, not 1",)


def judged_methods(setup: TrainSetup) -> tuple[str, ...]:
    """Return those of which one must keep both limits; none where nothing is promised."""
    if not is_promised(setup):
        return ()
    return tuple(method for method in JUDGED if method in setup.methods)


def is_promised(setup: TrainSetup) -> bool:
    """Tell whether the promises are made for what was measured."""
    on_gpu = torch.device(setup.device).type == "cuda"
    return on_gpu and setup.is_paper_size and setup.precision == "float32"
