"""An order of images for storage that is slow to jump about in: long runs, read side by side.

Shapes: I images, B images of a step, P the period, m steps of a pass, r images that fill none.

A pass cuts the images, as they lie in their archives, into segments of about 64 MiB and shuffles
these. The result is cut into P x B equal lanes. A step takes one image of each of B lanes; the step
after it takes them from the next B lanes, and after P steps the first ones have their turn again.
Each lane goes on in windows of a few images, which are read in one go and used in random order. All
windows together hold as many images as the shuffle buffer.

So a process that takes every k-th step, where k divides P, or certain places in each step, reads
lanes of its own; and yet the order is the same however many processes there are.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from pipelines.data.image_order import Groups, positions_in_runs, run_starts
from pipelines.data.tables import FloatArray, IntArray

PERIODS = (1, 2, 3, 4, 6, 8, 12, 24)  # the last, for all but small datasets, has many divisors
_SEGMENT_BYTES = 1 << 26  # a disk, and an object store, delivers this much in one go at full speed
_LEAST_IN_LANE = 16  # images; a smaller dataset has fewer lanes
_LEAST_SEGMENTS = 2  # of a lane, so that small datasets are shuffled too


@dataclass(frozen=True)
class SequentialOrder:
    """Each image once a pass.

    Args:
        images: ``[I]``, places in the dataset, in the order in which they are stored.
        segment: Images that take about 64 MiB.
        buffer: Images that all windows together hold.
    """

    images: IntArray
    segment: int
    buffer: int

    @classmethod
    def of(cls, images: IntArray, lengths: IntArray, buffer: int) -> "SequentialOrder":
        """Return the order of stored images.

        Args:
            images: As above.
            lengths: ``[I]``, bytes of each.
            buffer: As above.
        """
        return cls(images, max(int(_SEGMENT_BYTES // max(lengths.mean(), 1)), 1), buffer)

    def period(self, batch_size: int) -> int:
        """Return P for steps of B images."""
        most = len(self.images) // (_LEAST_IN_LANE * batch_size)
        return max(divisor for divisor in PERIODS if divisor <= max(most, 1))

    def sha256(self) -> str:
        """Return a hash of all that passes depend on besides the settings, in hex."""
        digest = hashlib.sha256(self.images.astype("<i8").tobytes())
        digest.update(str(self.segment).encode())
        return digest.hexdigest()

    def draw(
        self, random: np.random.Generator, batch_size: int, groups: Groups | None
    ) -> "SequentialPass":
        """Return the steps of one pass.

        Args:
            random: Decides.
            batch_size: B.
            groups: ``[I]``, of each image of the dataset; the images of a step are all of one.
        """
        lanes = self.period(batch_size) * batch_size
        window = max(self.buffer // lanes, 1)
        segment = min(self.segment, len(self.images) // (_LEAST_SEGMENTS * lanes))
        stream = _shuffle_segments(self.images, max(segment, window), random)
        columns = _Columns.of(len(stream), lanes, batch_size, window)
        group = np.zeros(len(stream), np.uint8) if groups is None else groups[stream]
        steps, rest = columns.cut(group, random, batch_size)
        return SequentialPass(stream[steps], stream[rest], stream, columns)


class SequentialPass:
    """The steps of a pass, and what is read together.

    Args:
        steps: ``[m, B]``, images by place in the dataset.
        rest: ``[r]``, images that fill no step.
        stream: ``[I]``, all images, lane after lane.
        columns: Where each of the stream stands.
    """

    def __init__(
        self, steps: IntArray, rest: IntArray, stream: IntArray, columns: "_Columns"
    ) -> None:
        self.steps, self.rest = steps, rest
        self._stream, self._columns = stream, columns
        self._starts = np.append(run_starts(columns.window), len(stream))
        self._where = np.empty_like(stream)  # [I], of each image in the stream
        self._where[stream] = np.arange(len(stream))

    def together(self, image: int, share: slice) -> tuple[int, ...]:
        """Return the images of an image's window, itself among them.

        There are none if its lane is not among those of the ``share`` of places in a step: then it
        has strayed into a step of others, and is better read alone.
        """
        where = self._where[image]
        if not share.start <= self._columns.place[where] < share.stop:
            return ()
        window = self._columns.window[where]
        return tuple(self._stream[slice(*self._starts[window : window + 2])].tolist())


@dataclass(frozen=True)
class _Columns:
    """Where each image of the stream stands, all ``[I]``.

    Args:
        turn: Which of P consecutive steps takes it.
        place: At which of the B places.
        stretch: Number of its window in its lane.
        window: Number of its window in all.
    """

    turn: IntArray
    place: IntArray
    stretch: IntArray
    window: IntArray

    @classmethod
    def of(cls, size: int, lanes: int, batch_size: int, window: int) -> "_Columns":
        lane = np.arange(size) * lanes // size
        turn, place = np.divmod(lane, batch_size)
        period = lanes // batch_size
        # windows of one turn begin together; those of other turns do not, so that reading is even
        early = (period - 1 - turn) * window // period
        stretch = (positions_in_runs(lane)[0] + early) // window
        begins = (np.diff(lane, prepend=0) != 0) | (np.diff(stretch, prepend=stretch[:1]) != 0)
        return cls(turn, place, stretch, np.cumsum(begins))

    def cut(
        self, group: Groups, random: np.random.Generator, batch_size: int
    ) -> tuple[IntArray, IntArray]:
        """Return the places in the stream of the images of each step ``[m, B]``, and the rest."""
        shuffled = np.lexsort((random.random(len(group)), group, self.window))
        in_window = np.empty_like(shuffled)
        in_window[shuffled] = positions_in_runs(self.window[shuffled], group[shuffled])[0]
        queue = np.lexsort((self.place, in_window, self.stretch, group, self.turn))
        position, size = positions_in_runs(self.turn[queue], group[queue])
        whole = position < size - size % batch_size
        steps = queue[whole].reshape(-1, batch_size)
        position, size = positions_in_runs(self.turn[queue], group[queue], self.stretch[queue])
        when = (position / size)[whole].reshape(-1, batch_size)[:, -1]  # in the last one's window
        in_turn, late = self._in_turn(steps[:, -1], when)
        rest = np.concatenate([steps[late].ravel(), queue[~whole]])
        steps = steps[in_turn]
        by_place = np.argsort(self.place[steps], axis=1, kind="stable")
        return np.take_along_axis(steps, by_place, axis=1), rest

    def _in_turn(self, last: IntArray, when: FloatArray) -> tuple[IntArray, IntArray]:
        """Return the order of steps by their last images and times: one of each turn, and again.

        Turns have equally many images, but not all fill equally many steps; those of some that are
        left when others have none come second.
        """
        by_time = np.lexsort((when, self.stretch[last], self.turn[last]))
        turn = self.turn[last][by_time]
        round_, _ = positions_in_runs(turn)
        in_turn = by_time[np.lexsort((turn, round_))]
        period = int(self.turn[-1]) + 1
        common = period * int(np.bincount(turn, minlength=period).min())
        return in_turn[:common], in_turn[common:]


def _shuffle_segments(images: IntArray, segment: int, random: np.random.Generator) -> IntArray:
    """Return the images with segments in random order; each pass cuts them at other places."""
    turned = np.roll(images, -int(random.integers(segment)))
    number = np.arange(len(images)) // segment
    rank = random.permutation(int(number[-1]) + 1)
    return turned[np.argsort(rank[number], kind="stable")]
