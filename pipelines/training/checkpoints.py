"""Checkpoints that a training goes on from: pairs of weights and state, found again when whole.

A pair is ``iteration-00000500.safetensors``, a detector, and beside it
``iteration-00000500.state.safetensors``, which holds the SHA-256 of the first: it is written last,
so it vouches for both.
"""

import os
import re
import shutil
from pathlib import Path
from typing import NamedTuple

from pipelines.artifacts import DetectorCheckpoint
from pipelines.errors import ArtifactError
from pipelines.provenance import sha256
from pipelines.storage import atomic_path
from pipelines.training.state import TrainingState

_NAME = re.compile(r"iteration-(\d{8,})(\.state)?\.safetensors")


class Pair(NamedTuple):
    """A checkpoint and its training state, there or not.

    Args:
        folder: That they lie in.
        iteration: Steps before them.
    """

    folder: Path
    iteration: int

    @property
    def checkpoint(self) -> Path:
        """The detector."""
        return self.folder / f"iteration-{self.iteration:08d}.safetensors"

    @property
    def state(self) -> Path:
        """What goes on from it."""
        return self.folder / f"iteration-{self.iteration:08d}.state.safetensors"

    def delete(self) -> None:
        """Delete the state first: a checkpoint without it is no pair."""
        self.state.unlink(missing_ok=True)
        self.checkpoint.unlink(missing_ok=True)


class Saved(NamedTuple):
    """A whole pair, read and checked.

    Args:
        pair: Where it is.
        checkpoint: Its weights.
        state: Everything else.
    """

    pair: Pair
    checkpoint: DetectorCheckpoint
    state: TrainingState

    @property
    def iteration(self) -> int:
        """Steps taken so far."""
        return self.state.progress.iteration

    def let_go(self) -> None:
        """Let go of the tensors, which fill as much memory as those that train."""
        for tensors in (self.checkpoint.model, self.state.optimizers):
            if isinstance(tensors, dict):
                tensors.clear()


def pairs_in(folder: Path) -> list[Pair]:
    """Return the pairs of a folder of which there is at least one file, the newest first."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("iteration-*.safetensors"))
    iterations = {int(name[1]) for name in names if name}
    return [Pair(folder, iteration) for iteration in sorted(iterations, reverse=True)]


def pair_of(file: Path) -> Pair | None:
    """Return the pair that a file belongs to, by its name."""
    name = _NAME.fullmatch(file.name)
    return Pair(file.parent, int(name[1])) if name else None


def read_whole(pair: Pair) -> Saved:
    """Read a pair.

    Raises:
        ArtifactError: If one of the files is missing, cut short, or not what was written.
    """
    state = TrainingState.load(pair.state)
    if not pair.checkpoint.is_file():
        raise ArtifactError("no such file", where=pair.checkpoint)
    if sha256(pair.checkpoint) != state.checkpoint_sha256:
        raise ArtifactError(
            "cut short or changed: it is not what its state was saved with", where=pair.checkpoint
        )
    return Saved(pair, DetectorCheckpoint.load(pair.checkpoint), state)


def newest_whole(folder: Path) -> tuple[Saved | None, list[str]]:
    """Return the newest whole pair of a folder, and what is wrong with those after it."""
    notes: list[str] = []
    for pair in pairs_in(folder):
        try:
            return read_whole(pair), notes
        except ArtifactError as error:
            notes.append(error.place_and_cause)
    return None, notes


def prune(folder: Path, keep: int) -> None:
    """Delete all pairs but the newest so many."""
    for pair in pairs_in(folder)[keep:]:
        pair.delete()


def put(source: Path, target: Path) -> None:
    """Make ``target`` the same file as ``source``, or a copy where there are no hard links."""
    with atomic_path(target) as temporary:
        temporary.unlink()
        try:
            os.link(source, temporary)
        except OSError:
            shutil.copyfile(source, temporary)
