"""The steps from a CSV of boxes to batches, each to be run in a process of its own.

A step imports what it needs itself, so that its peak memory is that of a user's process.
"""

import time
from dataclasses import dataclass
from pathlib import Path

BATCH_SIZE = 8  # of the paper


@dataclass(frozen=True)
class Iteration:
    """How fast the batches of one pass come.

    Args:
        entries: Images that were named; none is read.
        groups: Shapes of images that are kept apart.
        seconds_to_start: Until the first batch.
        entries_per_second: After it.
    """

    entries: int
    groups: int
    seconds_to_start: float
    entries_per_second: float


def prepare(boxes: Path, classes: Path, index: Path) -> int:
    """Index a CSV as ``wtn prepare open-images`` does; return the size of the index in bytes."""
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan
    from pipelines.prepare import prepare_splits

    source = OpenImagesSource(classes, (boxes,))
    (report,) = prepare_splits(source, [SplitPlan(index)], PrepareOptions(), overwrite=True)
    return report.index_bytes


def reopen(index: Path) -> int:
    """Open an index and read the boxes of its last image; return their number."""
    from pipelines.data.index import open_index

    boxes = open_index(index).annotations.boxes
    last = boxes.image[-1]
    first_row = int(boxes.image.searchsorted(last))
    return len(boxes.boxes[first_row:].copy())


def balance(index: Path) -> int:
    """Make the official release's class-balanced list from an index; return its length."""
    from pipelines.data.image_order import class_balanced_order
    from pipelines.data.index import open_index

    boxes = open_index(index).annotations.boxes
    return len(class_balanced_order(boxes.image, boxes.label).images)


def check(boxes: Path, classes: Path) -> int:
    """Check a CSV as ``wtn check-data`` does; return the number of boxes."""
    from pipelines.check_data import check_data
    from pipelines.data.check_inputs import CheckInputs

    return check_data(CheckInputs(boxes, classes), "error").boxes


def iterate(index: Path) -> Iteration:
    """Go through one pass of the class-balanced list, in batches of one aspect ratio.

    A CSV of boxes tells no sizes. They are drawn, before the clock starts: only batches count.
    """
    from pipelines.data.image_order import BALANCED_LENGTH, class_balanced_order
    from pipelines.data.index import open_index
    from pipelines.data.samplers import TrainingSampler, aspect_ratio_groups
    from pipelines.data.synthetic import draw_sizes

    boxes = open_index(index).annotations.boxes
    groups = aspect_ratio_groups(draw_sizes(len(boxes.image_ids)))
    sampler = TrainingSampler(
        class_balanced_order(boxes.image, boxes.label),
        batch_size=BATCH_SIZE,
        iterations=BALANCED_LENGTH // BATCH_SIZE,
        flip=0.5,
        seed=0,
        groups=groups,
    )
    started = time.perf_counter()
    batches = iter(sampler)
    entries = len(next(batches))
    first = time.perf_counter()
    rest = sum(len(batch) for batch in batches)
    return Iteration(
        entries + rest,
        groups=len(set(groups.tolist())),
        seconds_to_start=first - started,
        entries_per_second=rest / (time.perf_counter() - first),
    )
