"""The processes that share a training or an evaluation, as torchrun starts them.

All of them run the same program; the leader, process 0, alone prints and writes. What they exchange
goes through these few calls, each of which every process must make.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TypeVar
from uuid import uuid4

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous

from pipelines.devices import device_named, resolve_device
from pipelines.errors import ConfigError, Interrupted, RunError

T = TypeVar("T")

_PATIENCE = 1800.0  # seconds, as PyTorch waits at most
_PAUSE = 0.05  # seconds


@dataclass(frozen=True)
class Team:
    """One process's view of all that work together.

    Args:
        rank: Its number, over all machines.
        size: How many there are.
        local_rank: Its number on its own machine, which is also that of its GPU.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_leader(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """Return the device of this process; ``auto`` and ``cuda`` give each a GPU of its own.

        Raises:
            ConfigError: If there is no such device, or a GPU is named that all would share.
        """
        wanted = device_named(name)
        if self.size == 1 or wanted.type != "cuda":
            return resolve_device(name)
        if ":" in name:
            raise ConfigError(
                f"{self.size} processes cannot share device {name!r}",
                mend="Use --device cuda: each process takes the GPU of its own number.",
            )
        return resolve_device(f"cuda:{self.local_rank}")

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        self.sum(tensors)
        if self.size > 1:
            for tensor in tensors:
                tensor.div_(self.size)

    def copy_leader(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by the leader's."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def total(self, count: int) -> int:
        """Return the sum of a count over all processes; it does not wait for a GPU."""
        return self.totals([count])[0]

    def totals(self, counts: Sequence[int]) -> list[int]:
        """Return the sum of each count over all processes, as :meth:`total`."""
        totals = torch.tensor(counts)
        if self.size > 1:
            dist.all_reduce(totals)
        summed: list[int] = totals.tolist()
        return summed

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set in any process."""
        return self.total(flag) > 0

    def gather_objects(self, value: T) -> list[T]:
        """Return the value of every process, by rank."""
        if self.size == 1:
            return [value]
        values = [value] * self.size
        dist.all_gather_object(values, value)
        return values

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.total(0)


ALONE = Team()


@contextmanager
def joined(team: Team, device: str) -> Iterator[torch.device]:
    """Connect this process with the others, and yield its device, the current one of its kind.

    Alone there is nothing to connect.

    Addresses are torchrun's (``MASTER_ADDR`` and ``MASTER_PORT``). Tensors on a GPU go through
    NCCL, all others through gloo.

    Args:
        team: This process among all.
        device: A name, see :meth:`Team.device`.

    Raises:
        ConfigError: If there is no such device, or nothing says where the others are.
        RunError: If they cannot be reached.
    """
    target = team.device(device)
    with torch.cuda.device(target) if target.type == "cuda" else nullcontext():
        if team.size == 1:
            yield target
            return
        _connect(team, target)
        try:
            yield target
        except Interrupted as stop:
            if stop.__cause__ is None:  # all have stopped, between two steps
                dist.destroy_process_group()
            raise
        dist.destroy_process_group()  # not after an error: the others may be waiting in vain


def is_lost_connection(error: BaseException) -> bool:
    """Tell whether an error only says that another process has gone."""
    lost = isinstance(error, dist.DistError)
    return lost or (isinstance(error, RuntimeError) and "gloo" in str(error))


def _connect(team: Team, device: torch.device) -> None:
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    try:
        meeting, _, _ = next(rendezvous("env://", team.rank, team.size))
        store = dist.PrefixStore(agreed_name(meeting, team), meeting)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=team.rank, world_size=team.size)
    except ValueError as error:
        raise ConfigError(
            f"process {team.rank} of {team.size} does not know the others ({error})",
            mend="Start it with torchrun, which tells each process where the others are.",
        ) from error
    except dist.DistError as error:
        raise RunError(
            f"process {team.rank} of {team.size} cannot reach the others ({error})",
            mend="Check --rdzv-endpoint of torchrun, and that no firewall is between the machines.",
        ) from error


def agreed_name(store: "dist.Store", team: Team) -> str:  # type: ignore[name-defined]
    """Return a name that all processes agree on, and that no process before them has used.

    torchrun keeps the store when it restarts processes, with the addresses of those that are gone.
    Each process leaves a name of its own there; the leader answers under that name with its own,
    until all have taken it. It asks again and again, since what it finds first may be of a process
    that is gone. (torchrun's count of restarts would not do: machines may count otherwise.)

    Raises:
        DistError: If the others do not come within half an hour.
    """
    mine, others = uuid4().hex, range(1, team.size)
    if not team.is_leader:
        store.set(f"here/{team.rank}", mine)
        agreed = str(store.get(mine), "utf-8")
        store.set(f"{agreed}/{team.rank}", "")
        return agreed
    until = time.monotonic() + _PATIENCE
    while not store.check([f"{mine}/{rank}" for rank in others]):
        for key in (f"here/{rank}" for rank in others):
            if store.check([key]):
                store.set(str(store.get(key), "utf-8"), mine)
        if time.monotonic() > until:
            raise dist.DistNetworkError(f"they did not come within {_PATIENCE:.0f} s")
        time.sleep(_PAUSE)
    return mine
