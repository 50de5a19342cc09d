"""Tests for pipelines.metrics.shared_work."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.distributed import Team
from pipelines.errors import DatasetError, RunError
from pipelines.metrics.shared_work import Exchange, rounds

Together = Callable[[int, Callable[[Team], object]], list[object]]


@given(st.integers(1, 300), st.integers(1, 70), st.integers(1, 9), st.integers(1, 70))
def test_rounds_are_all_images_in_whole_batches(
    count: int, batch_size: int, processes: int, at_most: int
) -> None:
    """Every image comes once, in order, and a share begins where a batch of one process would."""
    ids = [str(number) for number in range(count)]

    shared = list(rounds(ids, batch_size, processes, at_most))

    parts = [share for shares in shared for share in shares]
    assert [image_id for share in parts for image_id in share] == ids
    assert all(len(shares) == processes for shares in shared)
    assert all(int(share[0]) % batch_size == 0 for share in parts if share)
    assert max(map(len, parts)) <= max(batch_size, at_most)
    first = shared[0]
    even = -(-sum(map(len, first)) // processes)
    assert len(first[0]) < even + batch_size


def test_few_images_are_spread_over_all() -> None:
    """Ten images in batches of two keep five processes busy for one round."""
    ids = list("abcdefghij")

    assert list(rounds(ids, 2, 5, 64)) == [[["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"],
                                            ["i", "j"]]]  # fmt: skip


def test_a_full_disk_of_one_ends_all(together: Together) -> None:
    """It is its own to tell; the others do not wait for it, and know what happened."""

    def work(team: Team) -> None:
        exchange = Exchange(team)
        with exchange.failing_together():
            if team.is_leader:
                raise OSError(28, "No space left on device", "found.csv")
            exchange.gather(None)

    own, *others = together(3, work)

    assert isinstance(own, OSError)
    for error in others:
        assert isinstance(error, RunError)
        assert error.place_and_cause == (
            "found.csv: another process cannot read or write (No space left on device)"
        )


@pytest.mark.parametrize("failing", [{0}, {2}, {0, 1}, {0, 1, 2}])
def test_an_error_of_one_is_raised_in_all(together: Together, failing: set[int]) -> None:
    """Between two exchanges, whoever fails; nobody waits for a call that is not made."""

    def work(team: Team) -> None:
        exchange = Exchange(team)
        with exchange.failing_together():
            assert exchange.gather(team.rank) == [0, 1, 2]
            if team.rank in failing:
                raise DatasetError(f"bad picture of {team.rank}", where="here", mend="Draw it.")
            exchange.gather(None)

    ended = together(3, work)

    for rank, error in enumerate(ended):
        assert isinstance(error, DatasetError)
        first = rank if rank in failing else min(failing)
        assert (error.what, error.where, error.mend) == (
            f"bad picture of {first}", "here", "Draw it.",
        )  # fmt: skip


def test_an_error_that_was_told_is_not_told_again(together: Together) -> None:
    """After all have failed, the next exchange is that of the next work."""

    def fail(team: Team) -> None:
        exchange = Exchange(team)
        with exchange.failing_together():
            if team.rank == 1:
                raise RunError("no room")
            exchange.gather(0)

    def work(team: Team) -> list[int]:
        with pytest.raises(RunError):
            fail(team)
        return Exchange(team).gather(team.rank)

    assert together(2, work) == [[0, 1], [0, 1]]
