"""Tests for pipelines.data.samplers."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.data.image_order import Groups, ImageOrder, uniform_order
from pipelines.data.samplers import Sample, TrainingSampler, aspect_ratio_groups
from pipelines.data.sequential_order import SequentialOrder
from pipelines.errors import ConfigError

sequential = st.builds(
    lambda size, segment, buffer, seed: SequentialOrder(
        np.random.default_rng(seed).permutation(size), segment, buffer
    ),
    st.integers(1, 200), st.integers(1, 9), st.integers(1, 40), st.integers(0, 5),
)  # fmt: skip
orders = st.one_of(
    sequential,
    st.integers(1, 20).map(uniform_order),
    st.lists(st.integers(0, 9), min_size=1, max_size=30).map(lambda i: ImageOrder(np.array(i))),
    st.lists(st.floats(1, 3), min_size=1, max_size=20).map(
        lambda r: ImageOrder(np.arange(len(r)), np.array(r))
    ),
)
groups = st.one_of(
    st.none(), st.lists(st.integers(0, 2), min_size=20, max_size=20).map(lambda g: np.uint8(g * 10))
)
seeds = st.integers(0, 5)


def batches(order: ImageOrder, **options: object) -> list[list[Sample]]:
    """Return all batches of a sampler."""
    defaults = {"batch_size": 2, "iterations": 12, "flip": 0.5, "seed": 0}
    return list(TrainingSampler(order, **(defaults | options)))


def looks(batch: Iterable[Sample]) -> list[tuple[int, bool]]:
    """Return which images are shown how, however they are read."""
    return [(sample.row, sample.flip) for sample in batch]


def pass_after_pass(size: int, flip: float, seed: int) -> Iterator[Sample]:
    """Yield the entries of uniform sampling, as the runs behind the published figures drew them."""
    epoch = 0
    while True:
        random = np.random.default_rng([seed, epoch])
        flips = random.random(size) < flip
        for row in random.permutation(size):
            yield Sample(int(row), bool(flips[row]))
        epoch += 1


@given(st.integers(1, 20), st.integers(1, 6), seeds)
def test_uniform_order_never_changes(size: int, batch_size: int, seed: int) -> None:
    """The order and the mirroring of a seed stay those of the published figures."""
    stream = pass_after_pass(size, 0.5, seed)

    found = batches(uniform_order(size), batch_size=batch_size, seed=seed)

    assert found == [list(islice(stream, batch_size)) for _ in range(12)]


@given(orders, seeds)
def test_the_batches_are_a_function_of_the_seed(order: ImageOrder, seed: int) -> None:
    """Equal seeds give equal batches, as many and as large as asked for."""
    found = batches(order, seed=seed)

    assert found == batches(order, seed=seed)
    assert [len(batch) for batch in found] == [2] * 12


def test_seeds_differ() -> None:
    """Another seed gives another order, other mirroring, and each pass its own."""
    first, second = (batches(uniform_order(12), seed=seed) for seed in (1, 2))

    rows = [sample.row for batch in first for sample in batch]
    assert first != second
    assert sorted(rows[:12]) == sorted(rows[12:]) == list(range(12))
    assert rows[:12] != rows[12:]
    assert len({sample.flip for batch in first for sample in batch}) == 2


@given(orders, groups, seeds, st.integers(0, 12))
def test_a_resumed_run_goes_on_as_if_it_never_stopped(
    order: ImageOrder, groups: Groups | None, seed: int, start: int
) -> None:
    """Starting at step k gives what is left of the whole sequence."""
    whole = batches(order, groups=groups, seed=seed)

    assert batches(order, groups=groups, seed=seed, start=start) == whole[start:]
    sampler = TrainingSampler(order, batch_size=2, iterations=12, flip=0, seed=0, start=start)
    assert len(sampler) == 12 - start


@given(orders, groups, seeds, st.sampled_from([1, 2, 3, 6]))
def test_processes_share_each_step(
    order: ImageOrder, groups: Groups | None, seed: int, ranks: int
) -> None:
    """The shares of all processes, put together, are the step of a single one."""
    options = {"batch_size": 6, "groups": groups, "seed": seed}

    shares = [batches(order, **options, rank=rank, ranks=ranks) for rank in range(ranks)]

    together = [looks(chain(*parts)) for parts in zip(*shares, strict=True)]
    assert together == [looks(batch) for batch in batches(order, **options)]
    assert {len(share) for part in shares for share in part} == {6 // ranks}


def test_processes_that_cannot_share_evenly_are_refused() -> None:
    """The message names both numbers."""
    with pytest.raises(ConfigError, match=r"3 processes .* batches of 8 images"):
        TrainingSampler(uniform_order(9), batch_size=8, iterations=1, flip=0, seed=0, ranks=3)


@given(st.one_of(st.integers(1, 20).map(uniform_order), sequential), groups, seeds,
       st.integers(1, 5))  # fmt: skip
def test_groups_lose_and_double_nothing(
    order: ImageOrder | SequentialOrder, groups: Groups | None, seed: int, batch_size: int
) -> None:
    """A batch is of one group, and at any time a group's images differ by at most one look."""
    size = len(order.images)
    found = batches(order, groups=groups, seed=seed, batch_size=batch_size, iterations=40)

    group = np.zeros(200) if groups is None else groups
    assert all(len({group[sample.row] for sample in batch}) == 1 for batch in found)
    looks = Counter(sample.row for batch in found for sample in batch)
    for g in set(group[:size]):
        seen = [looks[row] for row in range(size) if group[row] == g]
        assert max(seen) - min(seen) <= 1


def test_grouped_batches_keep_to_the_order_of_the_images() -> None:
    """Within a pass the batches come by their first image, so that groups mix."""
    shape = np.uint8(np.arange(40) % 2)
    position = {s.row: k for k, s in enumerate(islice(pass_after_pass(40, 0, 3), 40))}

    found = batches(uniform_order(40), groups=shape, seed=3, batch_size=4, iterations=10)

    firsts = [position[batch[0].row] for batch in found]
    assert firsts == sorted(firsts)
    assert all([position[s.row] for s in b] == sorted(position[s.row] for s in b) for b in found)
    assert Counter(shape[batch[0].row] for batch in found) == {0: 5, 1: 5}


def test_shapes_are_the_two_of_the_release() -> None:
    """Height over width below 1, at least 1, and unknown."""
    sizes = np.array([[3, 4], [4, 4], [5, 4], [0, 0]], np.int32)

    assert aspect_ratio_groups(sizes).tolist() == [0, 1, 1, 2]
