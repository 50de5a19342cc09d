"""Tests for pipelines.distributed in one process; tests of several are with what they train."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta

import pytest
import torch
from torch.distributed import DistNetworkError, HashStore

from pipelines.distributed import ALONE, Team, agreed_name, is_lost_connection, joined
from pipelines.errors import ConfigError, Interrupted


def test_alone_there_is_nobody_to_wait_for() -> None:
    """Every exchange returns what it was given, and nothing needs to be connected."""
    tensor = torch.tensor([1.0, 2.0])

    with joined(ALONE, "cpu") as device:
        ALONE.mean([tensor])
        ALONE.copy_leader([tensor])
        ALONE.barrier()

    assert device == torch.device("cpu")
    assert tensor.tolist() == [1, 2]
    assert (ALONE.total(3), ALONE.any(True), ALONE.any(False)) == (3, True, False)
    assert ALONE.gather_objects("a") == ["a"]
    assert ALONE.is_leader


def test_each_process_takes_its_own_gpu() -> None:
    """A GPU that is named is refused where several processes would share it; a CPU is shared."""
    team = Team(rank=3, size=4, local_rank=1)

    with pytest.raises(ConfigError, match="4 processes cannot share device 'cuda:1'"):
        team.device("cuda:1")
    assert team.device("cpu") == torch.device("cpu")
    if torch.cuda.device_count() < 2:
        with pytest.raises(ConfigError, match="'cuda:1' cannot be used here"):
            team.device("cuda")


def test_a_process_that_knows_no_address_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without torchrun's variables there is one message, and what to start it with."""
    monkeypatch.delenv("MASTER_ADDR", raising=False)

    with (
        pytest.raises(ConfigError, match=r"process 0 of 2 does not know the others .*MASTER_ADDR"),
        joined(Team(size=2), "cpu"),
    ):
        pass


def test_only_a_lost_connection_is_one() -> None:
    """Other errors of a step are told as what they are."""
    text = "[../third_party/gloo/gloo/transport/tcp/pair.cc:538] Connection closed by peer"

    assert is_lost_connection(RuntimeError(text))
    assert is_lost_connection(torch.distributed.DistNetworkError("timed out"))
    assert not is_lost_connection(RuntimeError("shapes do not match"))
    assert not is_lost_connection(OSError("gloo"))


def test_a_gpu_that_is_named_is_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """So pinned memory and random numbers are its own, also where one process trains alone."""
    entered = []

    def current(device: torch.device) -> AbstractContextManager[None]:
        entered.append(device)
        return nullcontext()

    monkeypatch.setattr("pipelines.distributed.resolve_device", torch.device)
    monkeypatch.setattr(torch.cuda, "device", current)

    with joined(ALONE, "cuda:1") as device:
        assert entered == [device]


@pytest.mark.parametrize(
    ("error", "cause", "left"),
    [
        (Interrupted("stopped"), None, True),
        (Interrupted("stopped at once"), KeyboardInterrupt(), False),
        (RuntimeError("a defect"), None, False),
    ],
)
def test_processes_part_where_all_have_stopped(
    monkeypatch: pytest.MonkeyPatch, error: Exception, cause: BaseException | None, left: bool
) -> None:
    """Not after an error, nor in the middle of a step: others may wait for this one in vain."""
    parted = []
    monkeypatch.setattr("pipelines.distributed._connect", lambda team, device: None)
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: parted.append(1))

    with pytest.raises(type(error)), joined(Team(size=2), "cpu"):
        raise error from cause

    assert bool(parted) == left


def agree(store: HashStore, size: int) -> set[str]:
    """Return the names that so many processes take."""
    with ThreadPoolExecutor(size) as pool:
        names = pool.map(lambda rank: agreed_name(store, Team(rank, size)), range(size))
        return set(names)


def test_processes_meet_under_a_name_of_their_own() -> None:
    """All under one, and after a restart under another, though the store is full of old names."""
    store = HashStore()
    store.set_timeout(timedelta(seconds=10))
    store.set("here/1", "of a process that was killed before it got an answer")

    first, second = agree(store, 3), agree(store, 3)

    assert len(first) == len(second) == 1
    assert first != second


def test_processes_that_do_not_come_are_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An old name is nobody; the leader ends when its patience does."""
    monkeypatch.setattr("pipelines.distributed._PATIENCE", 0.1)
    store = HashStore()
    store.set("here/1", "gone")

    with pytest.raises(DistNetworkError, match="they did not come within 0 s"):
        agreed_name(store, Team(0, 2))
