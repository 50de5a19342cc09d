"""What it costs to bring 12 million boxes from a CSV, and their images, into batches."""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.benchmarks import data_steps
from pipelines.benchmarks.csv_libraries import CsvTiming, compare_csv_libraries
from pipelines.benchmarks.data_steps import Iteration
from pipelines.benchmarks.feeding import Feeding, benchmark_feeding
from pipelines.benchmarks.fresh_process import measure
from pipelines.data.class_files import read_vocabulary
from pipelines.data.index import open_index
from pipelines.data.synthetic import write_synthetic_boxes
from pipelines.environment.hardware import available_cpus
from pipelines.storage import atomic_path

ROWS = 12_200_000  # of the challenge's training boxes of 2018
IMAGES = 1_740_000
CLASSES = 500
LIMIT_BYTES = 1_500_000_000


@dataclass(frozen=True)
class StepCost:
    """What a step costs, in a process of its own.

    Args:
        seconds: Wall clock of each run, imports of the step included.
        median_seconds: Of the runs.
        peak_rss_bytes: The most memory that a run's process ever held.
        limit_seconds: What it promises to stay under.
    """

    seconds: tuple[float, ...]
    median_seconds: float
    peak_rss_bytes: int
    limit_seconds: float | None = None


@dataclass(frozen=True)
class DataBenchmark:
    """The way from a CSV of boxes to batches.

    Args:
        rows: Boxes in the file.
        images: Images in it.
        classes: Classes in the class list.
        csv_bytes: Size of the file.
        index_bytes: Size of the index made of it.
        prepare: Reading, checking, hashing and writing the index.
        reopen: Opening it and reading one image's boxes.
        balance: The class-balanced list of 1.44 million entries.
        check: What ``wtn check-data`` does with the file, without images.
        iteration: One pass over the list, by aspect ratio.
        csv_libraries: Reading the file alone, by library, where that was asked for.
        feeding: Reading and decoding images.
        within_limit: Whether all promises are kept.
        missed: What is not.
        runs: Of each step.
        cpus: Processors that the process may use.
        limit_bytes: What ``prepare`` promises to stay under.
    """

    rows: int
    images: int
    classes: int
    csv_bytes: int
    index_bytes: int
    prepare: StepCost
    reopen: StepCost
    balance: StepCost
    check: StepCost
    iteration: Iteration
    csv_libraries: Sequence[CsvTiming]
    feeding: Feeding
    within_limit: bool
    missed: tuple[str, ...]
    runs: int
    cpus: int
    limit_bytes: int = LIMIT_BYTES


def benchmark_data(
    *,
    rows: int = ROWS,
    images: int = IMAGES,
    classes: Path | None = None,
    boxes: Path | None = None,
    runs: int = 3,
    compare_libraries: bool = False,
    time_feeding: Callable[[], Feeding] = benchmark_feeding,
) -> DataBenchmark:
    """Index, reopen, balance and iterate a box file of the size of the Open Images challenge.

    Args:
        rows: Boxes to draw.
        images: Images to spread them over.
        classes: Class list to draw from; without it, 500 made-up ids.
        boxes: Measure this Open Images box CSV, of ``classes``, instead of a drawn one.
        runs: How often each step is repeated.
        compare_libraries: Read the file with every installed CSV library too.
        time_feeding: Measures how fast images come.

    Raises:
        WTNError: If a file is bad.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        classes = classes or _write_classes(folder / "classes.csv")
        vocabulary = read_vocabulary(classes)
        if boxes is None:
            boxes = folder / "boxes.csv"
            write_synthetic_boxes(boxes, vocabulary.ids, rows=rows, images=images)
        index = folder / "index.safetensors"
        costs = {
            "prepare": _cost(runs, 25.0, data_steps.prepare, boxes, classes, index),
            "reopen": _cost(runs, 1.0, data_steps.reopen, index),
            "balance": _cost(runs, 30.0, data_steps.balance, index),
            "check": _cost(runs, None, data_steps.check, boxes, classes),
        }
        missed = _missed(costs)
        annotations = open_index(index).annotations
        return DataBenchmark(
            rows=len(annotations.boxes),
            images=len(annotations.image_ids),
            classes=len(vocabulary),
            csv_bytes=boxes.stat().st_size,
            index_bytes=index.stat().st_size,
            prepare=costs["prepare"],
            reopen=costs["reopen"],
            balance=costs["balance"],
            check=costs["check"],
            iteration=measure(data_steps.iterate, index).result,
            csv_libraries=compare_csv_libraries(boxes, runs) if compare_libraries else (),
            feeding=time_feeding(),
            within_limit=not missed,
            missed=missed,
            runs=runs,
            cpus=available_cpus(),
        )


def _write_classes(path: Path) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(f"class-{number}" for number in range(CLASSES)) + "\n")
    return path


def _cost(
    runs: int, limit_seconds: float | None, step: Callable[..., Any], *arguments: Path
) -> StepCost:
    measured = [measure(step, *arguments) for _ in range(runs)]
    seconds = tuple(run.seconds for run in measured)
    peak = max(run.peak_rss_bytes for run in measured)
    return StepCost(seconds, statistics.median(seconds), peak, limit_seconds)


def _missed(costs: dict[str, StepCost]) -> tuple[str, ...]:
    """Say of each promise that is not kept what was measured."""
    missed = [
        f"{name} took {cost.median_seconds:.1f} s, the limit is {cost.limit_seconds:g} s"
        for name, cost in costs.items()
        if cost.limit_seconds is not None and cost.median_seconds > cost.limit_seconds
    ]
    peak = costs["prepare"].peak_rss_bytes
    if peak > LIMIT_BYTES:
        missed.append(f"prepare held {peak:,} bytes, the limit is {LIMIT_BYTES:,}")
    return tuple(missed)
