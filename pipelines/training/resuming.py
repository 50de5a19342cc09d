"""Where a run goes on: the newest whole state of a folder, if it is of the same training."""

from pathlib import Path
from typing import Any, NamedTuple

from pipelines.config import TrainSettings, validate_settings
from pipelines.config.comparison import differences, first_of, flat
from pipelines.distributed import Team
from pipelines.errors import ArtifactError, ConfigError, MismatchError
from pipelines.provenance import Provenance
from pipelines.training.checkpoints import Pair, Saved, newest_whole, pair_of, pairs_in, read_whole
from pipelines.training.run_folder import CHECKPOINT, CHECKPOINTS, SETTINGS, is_of, name_newest

AUTO = "auto"
DEFAULT_FOLDER = Path("run")
# What may change while a run rests: it decides where and how fast a detector is learned, what is
# told about it and what is kept, but not what is learned. Files count by their contents.
_FREE = (
    "device",
    "classifier",
    "backbone.weights",
    "data.boxes",
    "data.classes",
    "data.hierarchy",
    "data.images",
    "data.workers",
    "data.bad_images",
    "engine.",
    "checkpoints.",
    "evaluation.",
    "limits.",
    "schedule.log_every",
    "schedule.checkpoint_every",
)


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
        ConfigError: If the state is of a folder that has later ones, or of none.
    """
    if resume is None:
        return Start(output or DEFAULT_FOLDER)
    if resume == AUTO:
        folder = output or DEFAULT_FOLDER
        found, passed_over = newest_whole(folder / CHECKPOINTS)
        if found is None and any(pair.state.exists() for pair in pairs_in(folder / CHECKPOINTS)):
            raise _nothing_whole(folder, passed_over)
        return Start(folder, found, _settings_in(folder), tuple(passed_over))
    saved, notes = _at(Path(resume))
    folder = output or _run_folder_of(saved.pair)
    _refuse_later(saved.pair, folder)
    return Start(folder, saved, _settings_in(saved.pair.folder.parent), notes)


def is_finished(saved: Saved, settings: TrainSettings) -> bool:
    """Tell whether all iterations were taken.

    Raises:
        ConfigError: As :func:`refuse_other_settings`.
    """
    refuse_other_settings(saved, settings)
    return saved.iteration >= settings.schedule.iterations


def finished_checkpoint(folder: Path, saved: Saved) -> Path:
    """Return the detector of a finished run, by the name that it goes by in the run's folder."""
    if not is_of(saved.pair, folder):
        return saved.pair.checkpoint
    name_newest(folder, saved.pair, saved.state.progress.best)  # a kill may have come before it
    return folder / CHECKPOINT


def refuse_other_settings(saved: Saved, settings: TrainSettings) -> None:
    """Raise ConfigError if the settings would learn something else than what was saved did.

    The training may be made longer, and steps of the rates that lie ahead may move.
    """
    try:
        stored = validate_settings(saved.checkpoint.config)
    except ConfigError as error:
        raise ConfigError(
            f"its settings are not known here: {error.what}", where=saved.pair.checkpoint
        ) from error
    shorter = settings.schedule.iterations < stored.schedule.iterations
    there, now = (
        _binding(each, saved.iteration, with_length=shorter) for each in (stored, settings)
    )
    if told := differences(there, now):
        raise ConfigError(
            f"the run has other settings: {first_of(told)}",
            where=saved.pair.checkpoint,
            mend="Go on with those of the run, or name another folder with --output for a new run.",
        )


def refuse_other_inputs(saved: Saved, provenance: Provenance) -> None:
    """Raise MismatchError if a file has other contents than the one that was trained on."""
    there, now = (
        {(p["role"], p["sha256"]) for p in record.get("parents", ())}
        for record in (saved.checkpoint.provenance, provenance)
    )
    if others := sorted(role for role, _ in there ^ now):
        raise MismatchError(
            f"another file for {others[0]} than the run was trained on until here",
            where=saved.pair.checkpoint,
            mend="Bring back the file, or name another folder with --output for a new run.",
        )


def refuse_disagreement(
    team: Team, settings: TrainSettings, saved: Saved | None, provenance: Provenance
) -> None:
    """Raise MismatchError, in all processes, unless all begin at one place with one set of files.

    On several machines the run folder and the data must be the same, on storage that they share.
    """
    parents = sorted((p["role"], str(p["sha256"])) for p in provenance.get("parents", ()))
    mine: dict[str, object] = {
        "settings": _binding(settings, 0, with_length=True),
        "checkpoint to go on from": None if saved is None else saved.state.checkpoint_sha256,
        "files": parents,
    }
    theirs = team.gather_objects(mine)
    for rank, of_rank in enumerate(theirs):
        if others := [name for name in mine if of_rank[name] != theirs[0][name]]:
            raise MismatchError(
                f"process {rank} has another {others[0]} than process 0",
                mend="Start all processes with one command, on storage that all machines share.",
            )


def _at(path: Path) -> tuple[Saved, tuple[str, ...]]:
    """Return what a path names, and what is wrong with what was passed over."""
    pair = pair_of(path)
    if pair is not None:
        return read_whole(pair), ()
    pairs = path / CHECKPOINTS
    saved, notes = newest_whole(pairs if pairs.is_dir() else path)
    if saved is None:
        raise _nothing_whole(path, notes)
    return saved, tuple(notes)


def _nothing_whole(path: Path, notes: list[str]) -> ArtifactError:
    return ArtifactError(
        "; ".join(["no whole training state to go on from", *notes]),
        where=path,
        mend="Name a run folder, or an iteration-….state.safetensors in one; or begin anew with "
        "--force and without --resume.",
    )


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


def _refuse_later(pair: Pair, folder: Path) -> None:
    """Refuse to throw away what the folder's run has learned after a state of its own."""
    newest = newest_whole(pair.folder)[0] if is_of(pair, folder) else None
    if newest is not None and newest.iteration > pair.iteration:
        raise ConfigError(
            f"the run has come further, to iteration {newest.iteration}",
            where=pair.state,
            mend="Name another folder with --output, or --resume the run folder itself.",
        )


def _binding(settings: TrainSettings, taken: int, *, with_length: bool) -> dict[str, Any]:
    """Return the settings that decide what is learned, by ``key.path``.

    Args:
        settings: All of them.
        taken: Iterations; the steps of the rates after them are left out.
        with_length: Whether the number of iterations is binding too.
    """
    steps = [step for step in settings.schedule.steps if step < taken]
    everything = flat(settings.model_dump(mode="json")) | {"schedule.steps": steps}
    free = _FREE if with_length else (*_FREE, "schedule.iterations")
    return {
        key: value
        for key, value in everything.items()
        if not any(key == name or (name[-1] == "." and key.startswith(name)) for name in free)
    }
