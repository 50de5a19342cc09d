"""A run as its folder tells it: settings, history, checkpoints, and what it is doing.

Nothing is held in memory but numbers: of checkpoints, only the headers are read.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipelines.config import TrainSettings, load_settings, validate_settings
from pipelines.config.comparison import flat
from pipelines.errors import ArtifactError, ConfigError, DatasetError
from pipelines.locks import is_held
from pipelines.training.history import Evaluation, History, read_history
from pipelines.training.run_folder import CHECKPOINT, METRICS, SETTINGS, TIMINGS
from pipelines.training.stored_checkpoints import read_checkpoint_header

State = Literal["finished", "running", "running?", "stopped", "nonfinite"]

_QUIET_SECONDS = 300.0  # without a word, after which a run is taken for stopped
_QUIET_WINDOWS = 3.0  # the same in its own pace: a record may take minutes
_DEFAULT_METRIC = "novel_AP50"  # what the method is for


@dataclass(frozen=True)
class Run:
    """What is in a run folder.

    Args:
        folder: The run.
        settings: Resolved.
        history: Its logs.
        header: Of its newest checkpoint; None if there is none that can be read.
        modified: When it was last written, in seconds since the epoch.
        is_held: Whether a training holds its lock; None if that cannot be known.
    """

    folder: Path
    settings: TrainSettings
    history: History
    header: Mapping[str, Any] | None
    modified: float
    is_held: bool | None

    @property
    def iteration(self) -> int:
        """Steps that it is known to have taken."""
        saved = int(self.header["iteration"]) if self.header else 0
        records = self.history.records
        return max(saved, records[-1].iteration if records else 0)

    @property
    def state(self) -> State:
        """What it is doing; without a lock, as in earlier versions, that is a guess."""
        saved = int(self.header["iteration"]) if self.header else 0
        if saved >= self.settings.schedule.iterations:
            return "finished"
        if self.is_held:
            return "running"
        if self._has_failed:
            return "nonfinite"
        if self.is_held is not None:
            return "stopped"
        seconds = self.history.timings[-1].seconds if self.history.timings else 0.0
        quiet = time.time() - self.modified
        return "running?" if quiet < max(_QUIET_SECONDS, _QUIET_WINDOWS * seconds) else "stopped"

    @property
    def metric(self) -> str | None:
        """The figure that decides which checkpoint is the best; None if nothing was evaluated."""
        names = self.history.metrics
        wanted = self.settings.checkpoints.keep_best or _DEFAULT_METRIC
        return wanted if wanted in names else next(iter(names), None)

    @property
    def best(self) -> Evaluation | None:
        """The evaluation that has the best such figure."""
        return self.history.best(self.metric) if self.metric else None

    @property
    def changed_settings(self) -> dict[str, tuple[Any, Any]]:
        """The settings that are not the defaults: value and default by ``key.path``."""
        given = flat(self.settings.model_dump(mode="json"))
        required = {"classifier": given["classifier"], "data": {"boxes": given["data.boxes"]}}
        default = flat(validate_settings(required).model_dump(mode="json"))
        return {key: (value, default[key]) for key, value in given.items() if value != default[key]}

    @property
    def _has_failed(self) -> bool:
        """Whether the last thing that it wrote is of a step whose loss was not finite."""
        kept = self.folder.glob("nonfinite-*/batch.json")
        return any(path.stat().st_mtime >= self.modified for path in kept)


def is_run(folder: Path) -> bool:
    """Tell whether ``wtn train`` wrote a folder."""
    return (folder / SETTINGS).is_file() and (folder / METRICS).is_file()


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Raises:
        DatasetError: If it is none, or a file in it is damaged.
    """
    if not is_run(folder):
        raise DatasetError(
            f"not a run folder: it has no {SETTINGS} with a {METRICS} beside it"
            if folder.is_dir()
            else "no such folder",
            where=folder,
            mend="wtn train --output makes one; wtn runs list FOLDER finds those below a folder.",
        )
    written = [folder / name for name in (METRICS, TIMINGS, CHECKPOINT)]
    return Run(
        folder=folder,
        settings=_settings(folder / SETTINGS),
        history=read_history(folder),
        header=_header(folder / CHECKPOINT),
        modified=max(path.stat().st_mtime for path in written if path.exists()),
        is_held=is_held(folder),
    )


def _settings(path: Path) -> TrainSettings:
    try:
        return load_settings(path)
    except ConfigError as error:
        mend = "It was changed by hand, or written by another version."
        raise DatasetError(error.what, where=path, mend=mend) from error


def _header(path: Path) -> Mapping[str, Any] | None:
    try:
        return read_checkpoint_header(path)
    except ArtifactError:
        return None
