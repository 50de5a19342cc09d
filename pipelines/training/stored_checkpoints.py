"""The checkpoints that a run has kept, and which of them can be used."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts import DetectorCheckpoint
from pipelines.errors import ArtifactError
from pipelines.provenance import sha256
from pipelines.storage import read_header_of
from pipelines.training.checkpoints import Pair, pairs_in
from pipelines.training.run_folder import BEST, CHECKPOINT, CHECKPOINTS
from pipelines.training.state import TrainingState


@dataclass(frozen=True)
class StoredCheckpoint:
    """A checkpoint of a run.

    Args:
        file: Its name below the run folder.
        iteration: Steps taken, or None if it cannot be read.
        fault: Why it cannot be used, or None.
    """

    file: str
    iteration: int | None
    fault: str | None

    @property
    def goes_on(self) -> bool:
        """Whether a run can go on from it."""
        return self.fault is None and self.file.startswith(f"{CHECKPOINTS}/")


def stored_checkpoints(folder: Path) -> Iterator[StoredCheckpoint]:
    """Yield all checkpoints of a run, the newest of those that it can go on from first."""
    for pair in pairs_in(folder / CHECKPOINTS):
        yield StoredCheckpoint(f"{CHECKPOINTS}/{pair.checkpoint.name}", *_judged(pair))
    for name in (CHECKPOINT, BEST):
        path = folder / name
        if path.exists():
            try:
                yield StoredCheckpoint(name, int(read_checkpoint_header(path)["iteration"]), None)
            except ArtifactError as error:
                yield StoredCheckpoint(name, None, error.what)


def _judged(pair: Pair) -> tuple[int, str | None]:
    """Return the iteration of a pair, and why a run cannot go on from it, if so."""
    try:
        read_checkpoint_header(pair.checkpoint)
        state = read_header_of(
            pair.state, TrainingState.FORMAT, TrainingState.HEADER, TrainingState.MADE_BY
        )
    except ArtifactError as error:
        return pair.iteration, error.place_and_cause
    if sha256(pair.checkpoint) != state["checkpoint_sha256"]:
        return pair.iteration, "it is not what its state was saved with"
    return pair.iteration, None


def read_checkpoint_header(path: Path) -> Mapping[str, Any]:
    """Return the header of a detector checkpoint, and no tensor.

    Raises:
        ArtifactError: If the file is missing, cut short or of another format.
    """
    kind = DetectorCheckpoint
    return read_header_of(path, kind.FORMAT, kind.HEADER, kind.MADE_BY)
