"""The batches of a training, as a function of the seed and of their number.

Shapes: I images of the dataset, L entries of a pass, B images of a step, m steps.
"""

from collections.abc import Iterator
from itertools import repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from pipelines.data.image_order import Groups, ImageOrder, positions_in_runs
from pipelines.data.sequential_order import SequentialOrder, SequentialPass
from pipelines.data.tables import BoolArray, IntArray
from pipelines.errors import ConfigError

UNKNOWN_SHAPE = 2  # the group of such images


class Sample(NamedTuple):
    """One look at an image.

    Args:
        row: Its place in the dataset.
        flip: Whether it is mirrored.
        together: Places of those that lie beside it and have their turns soon, itself among them;
            none if it is read alone.
    """

    row: int
    flip: bool
    together: tuple[int, ...] = ()


class _Entries(NamedTuple):
    """Looks at images, in columns of any equal shape."""

    rows: IntArray
    flips: BoolArray

    def take(self, where: IntArray | tuple[slice, slice]) -> "_Entries":
        return _Entries(self.rows[where], self.flips[where])

    def then(self, later: "_Entries") -> "_Entries":
        return _Entries(
            np.concatenate([self.rows, later.rows]), np.concatenate([self.flips, later.flips])
        )


class TrainingSampler(Sampler[list[Sample]]):
    """Shuffled batches, pass after pass.

    One endless sequence of entries is cut into steps of B images. With groups, each group's part of
    it is cut by itself, and a step stands where its first image does within a pass (as in the
    official release, samplers/grouped_batch_sampler.py). What does not fill a step at the end of a
    pass waits for the next one, so no entry is lost or doubled.

    A sequential order makes steps itself, see :mod:`pipelines.data.sequential_order`; what fills
    none of them is cut as above.

    Processes share each step, so B images make the same step however many processes there are.

    Args:
        order: The images of a pass.
        batch_size: B, the images of a step, of all processes together.
        iterations: Steps in all.
        flip: Probability of mirroring.
        seed: Of the order and the mirroring.
        start: Steps that are left out at the beginning, because they were taken already.
        rank: Number of this process.
        ranks: How many processes share the work.
        groups: ``[I]``, the group of each image, such as ``aspect_ratio_groups``; the images of a
            step are all of one.

    Raises:
        ConfigError: If the processes cannot share a step evenly.
    """

    def __init__(
        self,
        order: ImageOrder | SequentialOrder,
        *,
        batch_size: int,
        iterations: int,
        flip: float,
        seed: int,
        start: int = 0,
        rank: int = 0,
        ranks: int = 1,
        groups: Groups | None = None,
    ) -> None:
        if batch_size % ranks:
            raise ConfigError(
                f"{ranks} processes cannot share batches of {batch_size} images evenly",
                mend=f"Set schedule.batch_size to a multiple of {ranks}.",
            )
        share = batch_size // ranks
        self._order, self._flip, self._seed, self._groups = order, flip, seed, groups
        self._batch_size, self._share = batch_size, slice(rank * share, (rank + 1) * share)
        self._start, self._iterations = start, iterations

    def __len__(self) -> int:
        return max(0, self._iterations - self._start)

    def __iter__(self) -> Iterator[list[Sample]]:
        skip, left = self._start, len(self)
        for steps, taken in self._steps():  # [m, B]
            mine = steps.take((slice(skip, skip + left), self._share))
            for rows, flips in zip(mine.rows.tolist(), mine.flips.tolist(), strict=True):
                beside = [taken.together(row, self._share) for row in rows] if taken else repeat(())
                yield list(map(Sample, rows, flips, beside))
            skip = max(0, skip - len(steps.rows))
            left -= len(mine.rows)
            if left == 0:
                return

    def _steps(self) -> Iterator[tuple[_Entries, SequentialPass | None]]:
        """Yield steps ``[m, B]`` without end, and the pass that tells what is read together."""
        number, waiting = 0, _Entries(np.empty(0, np.int64), np.empty(0, np.bool_))
        while True:
            random = np.random.default_rng([self._seed, number])
            if isinstance(self._order, SequentialOrder):
                taken = self._order.draw(random, self._batch_size, self._groups)
                flips = random.random(len(self._order.images)) < self._flip
                first = _Entries(taken.steps, flips[taken.steps])
                self._let_in(waiting, first)
                yield first, taken
                entries = _Entries(taken.rest, flips[taken.rest])
            else:
                entries = self._shuffled(self._order, random)
            entries = waiting.then(entries)
            steps, rest = self._cut(entries.rows)
            yield entries.take(steps), None
            number, waiting = number + 1, entries.take(rest)

    def _let_in(self, waiting: _Entries, steps: _Entries) -> None:
        """Exchange what waits with as many entries of the first step of its group, in place."""
        groups = self._group(waiting.rows)
        for group in np.unique(groups).tolist():
            mine = np.flatnonzero(groups == group)  # less than a step
            step = np.flatnonzero(self._group(steps.rows[:, 0]) == group)[:1]
            for stepping, outside in zip(steps, waiting, strict=True):
                late = stepping[step, : len(mine)].ravel()
                stepping[step, : len(mine)] = outside[mine]
                outside[mine[: len(late)]] = late

    def _group(self, rows: IntArray) -> Groups:
        return np.zeros(len(rows), np.uint8) if self._groups is None else self._groups[rows]

    def _shuffled(self, order: ImageOrder, random: np.random.Generator) -> _Entries:
        """Return the entries ``[L]`` of a pass, shuffled."""
        entries = order.draw(random)
        flips = random.random(len(entries)) < self._flip
        return _Entries(entries, flips).take(random.permutation(len(entries)))

    def _cut(self, rows: IntArray) -> tuple[IntArray, IntArray]:
        """Return the places of the entries of each step ``[m, B]``, and of those left over."""
        groups = self._group(rows)
        by_group = np.argsort(groups, kind="stable")
        position, size = positions_in_runs(groups[by_group])
        in_step = position < size - size % self._batch_size
        steps = by_group[in_step].reshape(-1, self._batch_size)
        return steps[np.argsort(steps[:, 0])], np.sort(by_group[~in_step])


def aspect_ratio_groups(sizes: NDArray[np.int32]) -> Groups:
    """Group images by shape: 0 wider than high, 1 not (the release's two), 2 unknown.

    Args:
        sizes: ``[I, 2]``, height and width in pixels; 0 where unknown.
    """
    height, width = sizes[:, 0], sizes[:, 1]
    unknown = (height <= 0) | (width <= 0)
    return np.where(unknown, UNKNOWN_SHAPE, height >= width).astype(np.uint8)
