"""Where a run goes on: the newest whole state of a folder."""

from pathlib import Path
from typing import NamedTuple

from pipelines.config import TrainSettings
from pipelines.errors import ArtifactError, ConfigError
from pipelines.training.checkpoints import Pair, Saved, newest_whole, pair_of, pairs_in, read_whole
from pipelines.training.run_folder import CHECKPOINT, CHECKPOINTS, SETTINGS, is_of, name_newest
from pipelines.training.same_training import refuse_other_files, refuse_other_settings
from pipelines.training.stored_checkpoints import read_checkpoint_header

AUTO = "auto"
DEFAULT_FOLDER = Path("run")

_NAME_A_STATE = "Name a run folder, or an iteration-….state.safetensors in one"


class Start(NamedTuple):
    """Where a run begins.

    Args:
        folder: The run folder to write.
        saved: What it goes on from, or None to begin anew.
        settings: The settings file of the run that it goes on with, if there is one.
        notes: Checkpoints that were passed over, and why.
    """

    folder: Path
    saved: Saved | None = None
    settings: Path | None = None
    notes: tuple[str, ...] = ()


def find_start(resume: str | None, output: Path | None) -> Start:
    """Find where a run begins.

    Args:
        resume: ``auto`` to go on with the run in the output folder, or begin it; a run folder, or a
            file or a folder with a training state, to go on from there; None to begin anew.
        output: The run folder to write; None is that of the state, or else ``run``.

    Raises:
        ArtifactError: If there is nothing whole to go on from, though there should be.
        ConfigError: If the state is of no run folder, and none is named.
    """
    if resume is None:
        return Start(output or DEFAULT_FOLDER)
    if resume == AUTO:
        folder = output or DEFAULT_FOLDER
        found, passed_over = newest_whole(folder / CHECKPOINTS)
        if found is None and any(pair.state.exists() for pair in pairs_in(folder / CHECKPOINTS)):
            raise _nothing_whole(folder, passed_over)
        settings = _settings_in(folder) if found is not None else None
        return Start(folder, found, settings, tuple(passed_over))
    saved, notes = _at(Path(resume))
    folder = output or _run_folder_of(saved.pair)
    return Start(folder, saved, _settings_in(saved.pair.folder.parent), notes)


def is_finished(saved: Saved, settings: TrainSettings) -> bool:
    """Tell whether all iterations were taken, and the last of them evaluated.

    Raises:
        ConfigError: As :func:`refuse_other_settings`.
        MismatchError: As :func:`refuse_other_files`, if it is finished.
    """
    refuse_other_settings(saved, settings)
    evaluates = settings.evaluation.every is not None
    is_open = evaluates and saved.state.progress.evaluation_is_open
    finished = saved.iteration >= settings.schedule.iterations and not is_open
    if finished:
        refuse_other_files(saved, settings)
    return finished


def finished_checkpoint(folder: Path, saved: Saved) -> Path:
    """Return the detector of a finished run, by the name that it goes by in the run's folder."""
    if not is_of(saved.pair, folder):
        return saved.pair.checkpoint
    name_newest(folder, saved.pair, saved.state.progress.best)  # a kill may have come before it
    return folder / CHECKPOINT


def refuse_later(pair: Pair) -> None:
    """Raise ConfigError if a run has learned something after a state: it would be thrown away.

    Args:
        pair: Of the run, which nobody else writes now.
    """
    for later in pairs_in(pair.folder):
        if later.iteration > pair.iteration and _is_whole(later):
            raise ConfigError(
                f"the run has come further, to iteration {later.iteration}",
                where=pair.state,
                mend="Name another folder with --output, or --resume the run folder itself.",
            )


def _is_whole(pair: Pair) -> bool:
    try:
        read_whole(pair)
    except ArtifactError:
        return False
    return True


def _at(path: Path) -> tuple[Saved, tuple[str, ...]]:
    """Return what a path names, and what is wrong with what was passed over."""
    if not path.exists():
        raise ArtifactError("no such folder or state", where=path, mend=f"{_NAME_A_STATE}.")
    pair = pair_of(path)
    if pair is not None:
        return read_whole(pair), ()
    if path.is_file():
        raise _no_state(path)
    pairs = path / CHECKPOINTS
    saved, notes = newest_whole(pairs if pairs.is_dir() else path)
    if saved is None:
        raise _nothing_whole(path, notes)
    return saved, tuple(notes)


def _nothing_whole(path: Path, notes: list[str]) -> ArtifactError:
    return ArtifactError(
        "; ".join(
            ["no whole training state to go on from", *(n.removeprefix(f"{path}/") for n in notes)]
        ),
        where=path,
        mend=_kept_for_replay(path)
        + f"{_NAME_A_STATE}; or begin anew with --force and without --resume.",
    )


def _no_state(file: Path) -> ArtifactError:
    """Return the error for a detector that is none of a pair, but may be the same as one.

    Raises:
        ArtifactError: If it is no detector.
    """
    iteration = read_checkpoint_header(file)["iteration"]
    state = Pair(file.parent / CHECKPOINTS, iteration).state
    mend = f"Its state is {state}: --resume that." if state.exists() else f"{_NAME_A_STATE}."
    return ArtifactError("no training state, which holds what goes on", where=file, mend=mend)


def _kept_for_replay(folder: Path) -> str:
    """Name the states that a folder keeps from before steps whose loss was not finite."""
    kept = [str(found) for found in sorted(folder.glob("nonfinite-*")) if pairs_in(found)]
    if not kept:
        return ""
    return f"From before a step whose loss was not finite there is {', '.join(kept)}. "


def _settings_in(folder: Path) -> Path | None:
    path = folder / SETTINGS
    return path if path.is_file() else None


def _run_folder_of(pair: Pair) -> Path:
    if pair.folder.name != CHECKPOINTS:
        raise ConfigError(
            "the state is not one that a run goes on from by itself",
            where=pair.state,
            mend="Name a folder for what comes after it with --output.",
        )
    return pair.folder.parent
