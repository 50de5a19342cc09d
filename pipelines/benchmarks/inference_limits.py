"""What detection with many classes promises, and what torchvision's is too large to be asked for.

Shapes: M RoIs of an image, R RoI feature width, K classes.
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from pipelines.benchmarks.inference_models import InferenceSetup
from pipelines.benchmarks.inference_runs import TorchvisionCost
from pipelines.config import DetectorSettings

PROMISED_BACKBONE, PROMISED_SIZE, PROMISED_THREADS = "resnet50", 800, 2
LIMIT_END_TO_END = 1.05  # times our time with 91 classes, with 5000
LEAST_SPEEDUP = 100.0  # over torchvision's post-processing, with 5000
LIMIT_MEMORY = 1.5  # times our memory with 91 classes, with 21,841
FEWEST, MANY, MOST = 91, 5000, 21_841
TORCHVISION_SECONDS = 300.0  # post-processing that could take longer is not begun
_BYTES_OF_A_PAIR = 160  # of a RoI and a class: box deltas, their decoding, scores, labels, choices
_MEMORY_INFO = Path("/proc/meminfo")


def missed_limits(
    setup: InferenceSetup,
    end_to_end: Mapping[int, float],
    speedup: Mapping[int, float],
    memory: Mapping[int, float],
) -> tuple[str, ...]:
    """Say of each promise that is not kept what was measured.

    Promises are made for one backbone and size in float32, on two threads of a CPU and on a GPU;
    they are judged where both sides were measured.

    Args:
        setup: What was measured.
        end_to_end: Our time by number of classes, over that with the fewest.
        speedup: Torchvision's post-processing over ours.
        memory: Our memory, over that with the fewest classes.
    """
    missed: list[str] = []
    if not _is_promised(setup):
        return ()
    against_fewest = min(end_to_end) == FEWEST
    if against_fewest and end_to_end.get(MANY, 0) > LIMIT_END_TO_END:
        missed.append(
            f"{MANY} classes took {end_to_end[MANY]:.3f} times as long as {FEWEST}, the limit is "
            f"{LIMIT_END_TO_END:g}"
        )
    if speedup.get(MANY, LEAST_SPEEDUP) < LEAST_SPEEDUP:
        missed.append(
            f"post-processing {MANY} classes was {speedup[MANY]:.1f} times as fast as "
            f"torchvision's, not {LEAST_SPEEDUP:g}"
        )
    if against_fewest and memory.get(MOST, 0) > LIMIT_MEMORY:
        missed.append(
            f"{MOST} classes needed {memory[MOST]:.2f} times the memory of {FEWEST}, the limit is "
            f"{LIMIT_MEMORY:g}"
        )
    return tuple(missed)


def _is_promised(setup: InferenceSetup) -> bool:
    on_gpu = torch.device(setup.device).type == "cuda"
    promised = (PROMISED_BACKBONE, PROMISED_SIZE, "float32")
    asked = (setup.backbone, setup.size, setup.precision)
    return asked == promised and (on_gpu or setup.threads == PROMISED_THREADS)


def reason_to_skip(
    setup: InferenceSetup, classes: int, measured: Mapping[int, TorchvisionCost]
) -> str | None:
    """Return why torchvision's detector is not measured with so many classes, or None.

    Its time is judged from the largest vocabulary measured: post-processing goes over all
    candidates once for each class, so it grows at most with the square.
    """
    settings = DetectorSettings()
    rows, pairs = 5 * (classes + 1) * settings.roi_width, settings.proposals_test * (classes + 1)
    needed, free = 4 * rows + _BYTES_OF_A_PAIR * pairs, _free_bytes(setup.device)
    if free is not None and needed > free:
        return f"it would need about {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free"
    if not measured:
        return None
    known = max(measured)
    growth = (classes / known) ** 2
    seconds = growth * min(one["postprocess"] for one in measured[known].passes)
    if seconds > TORCHVISION_SECONDS:
        return f"post-processing could take {seconds:.0f} s, the limit is {TORCHVISION_SECONDS:g} s"
    return None


def _free_bytes(device: str) -> int | None:
    """Return the memory that is free, or None where that is not told."""
    if torch.device(device).type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if not _MEMORY_INFO.is_file():
        return None
    lines = _MEMORY_INFO.read_text().splitlines()
    available = next((line for line in lines if line.startswith("MemAvailable:")), None)
    return None if available is None else 1024 * int(available.split()[1])
