"""Tests for pipelines.data.sequential_order; test_samplers has what holds for every order."""

from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.image_order import Groups
from pipelines.data.samplers import Sample, TrainingSampler
from pipelines.data.sequential_order import SequentialOrder

SIZE, BATCH = 4000, 4


def steps(ranks: int = 1, rank: int = 0, groups: Groups | None = None) -> list[list[Sample]]:
    """Return a pass over 4000 images without its end; their places are those in the archive."""
    sampler = TrainingSampler(
        SequentialOrder(np.arange(SIZE), segment=60, buffer=480),
        batch_size=BATCH, iterations=SIZE // BATCH - 2, flip=0.5, seed=3,
        rank=rank, ranks=ranks, groups=groups,
    )  # fmt: skip
    return list(sampler)


def shapes() -> Groups:
    """Return two groups, of 70 and 30 percent."""
    return (np.random.default_rng(0).random(SIZE) < 0.3).astype(np.uint8)


@pytest.mark.parametrize("groups", [None, shapes()])
@pytest.mark.parametrize("workers", [1, 2, 8, 24])
def test_a_worker_reads_each_window_once(groups: Groups | None, workers: int) -> None:
    """Workers take the steps in turn, and share no window; what they read is long."""
    windows = [
        {s.together for s in chain(*islice(steps(groups=groups), worker, None, workers))}
        for worker in range(workers)
    ]

    read = [window for part in windows for window in part if window]
    images = [image for window in read for image in window]
    assert len(images) == len(set(images))
    assert np.mean([len(window) for window in read]) > 4.5  # of 5: 480 images, 24 x 4 lanes
    jumps = [np.diff(window) != 1 for window in read]
    assert np.mean(np.concatenate(jumps)) < 0.05  # where a segment ends


@pytest.mark.parametrize("groups", [None, shapes()])
def test_hardly_an_image_is_read_alone(groups: Groups | None) -> None:
    """Those that fill no step in their turn are few, and the more so the more images there are."""
    alone = [s for s in chain(*steps(groups=groups)) if not s.together]

    assert len(alone) < 0.06 * SIZE  # 24 turns, two groups, at most 3 images each, and a step


def test_processes_read_lanes_of_their_own() -> None:
    """Each of two reads half of the windows; what strays to the other's side is read alone."""
    groups = shapes()
    parts = [steps(ranks=2, rank=rank, groups=groups) for rank in range(2)]

    read = [{s.together for s in chain(*part) if s.together} for part in parts]
    assert not read[0] & read[1]
    strays = sum(not s.together for part in parts for s in chain(*part))
    assert strays < 0.12 * SIZE


def test_what_waits_is_bounded_by_the_buffer() -> None:
    """A single process holds 480 images at most, as it goes on over several passes."""
    order = SequentialOrder(np.arange(SIZE), segment=60, buffer=480)
    sampler = TrainingSampler(order, batch_size=BATCH, iterations=3000, flip=0, seed=0)
    waiting: set[int] = set()
    most = 0

    for sample in chain(*sampler):
        if sample.row not in waiting:
            waiting.update(sample.together)
        waiting.discard(sample.row)
        most = max(most, len(waiting))

    assert 200 < most <= 480 * 1.1  # half of it, and what strayed


def test_neighbours_are_spread() -> None:
    """Images of a step lie far apart, and those that lie side by side come many steps apart."""
    batches = steps()
    apart = [np.diff(sorted(s.row for s in batch)).min() for batch in batches]
    step = {s.row: number for number, batch in enumerate(batches) for s in batch}

    assert np.mean(np.array(apart) > 5) > 0.95
    neighbours = [abs(step[row] - step[row + 1]) for row in range(SIZE - 1) if row + 1 in step
                  and row in step]  # fmt: skip
    assert np.median(neighbours) >= 24
    assert np.corrcoef(np.arange(SIZE), [step.get(row, 0) for row in range(SIZE)])[0, 1] < 0.3


@given(st.integers(1, 500), st.integers(1, 6), st.integers(1, 100))
def test_a_window_holds_its_image(size: int, batch_size: int, buffer: int) -> None:
    """However small the dataset or the buffer: an image is among those that are read with it."""
    order = SequentialOrder(np.arange(size)[::-1].copy(), segment=7, buffer=buffer)
    sampler = TrainingSampler(order, batch_size=batch_size, iterations=20, flip=0, seed=0)

    assert all(s.row in s.together for s in chain(*sampler) if s.together)


def test_a_hash_tells_orders_apart() -> None:
    """By what lies where, and by how much is read in one go; the buffer is a setting."""
    images = np.arange(SIZE)
    hashes = [
        SequentialOrder(order, segment, buffer).sha256()
        for order, segment, buffer in [
            (images, 60, 480),
            (images.astype(np.int32), 60, 100),
            (images[::-1], 60, 480),
            (images, 61, 480),
        ]
    ]

    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
