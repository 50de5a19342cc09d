"""Divide the images of an evaluation among processes, and fail together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from pipelines.distributed import Team
from pipelines.errors import RunError, WTNError

_T = TypeVar("_T")


class Exchange:
    """What processes tell each other; a user's error in one of them is raised in all.

    Args:
        team: This process among all.
    """

    def __init__(self, team: Team) -> None:
        self._team, self._told = team, False

    def gather(self, value: _T) -> list[_T]:
        """Return the value of every process, by rank.

        Raises:
            WTNError: The first by rank, if one failed on the way here.
        """
        values = self._team.gather_objects(value)
        errors = [value for value in values if isinstance(value, WTNError)]
        if errors:
            self._told = True
            raise errors[0]
        return values

    @contextmanager
    def failing_together(self) -> Iterator[None]:
        """Tell the others, at their next call of :meth:`gather`, what went wrong in the block."""
        try:
            yield
        except (WTNError, OSError) as error:
            if not self._told:
                self._team.gather_objects(_told_of(error))
            raise


def _told_of(error: WTNError | OSError) -> WTNError:
    """Return what the others hear: an OSError is about a disk that they need not have."""
    if isinstance(error, WTNError):
        return error
    return RunError(
        f"another process cannot read or write ({error.strerror or error})", where=error.filename
    )


def rounds(
    image_ids: Sequence[str], batch_size: int, processes: int, at_most: int
) -> Iterator[list[Sequence[str]]]:
    """Yield the images of each process, round by round; in this order they are all images.

    A process takes whole batches, those that a process alone would: what a model finds in an image
    may differ in the last bit with what else is in the batch. In the last round some may get none.

    Args:
        image_ids: All images, one at least.
        batch_size: Images a pass.
        processes: That share them.
        at_most: Images of a process in a round, if that is a batch or more.
    """
    batches = -(-len(image_ids) // batch_size)
    num_rounds = -(-batches // (processes * max(1, at_most // batch_size)))
    share = batch_size * -(-batches // (processes * num_rounds))
    for start in range(0, len(image_ids), share * processes):
        firsts = range(start, start + share * processes, share)
        yield [image_ids[first : first + share] for first in firsts]
