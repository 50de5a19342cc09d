"""Whether a saved training and one that would go on with it are the same."""

from pathlib import Path
from typing import Any

from pipelines.config import TrainSettings, validate_settings
from pipelines.config.comparison import differences, first_of, flat
from pipelines.distributed import Team
from pipelines.errors import ConfigError, MismatchError
from pipelines.provenance import Provenance, sha256
from pipelines.training.checkpoints import Saved

# What may change while a run rests decides where and how fast a detector is learned, what is told
# about it and what is kept, but not what is learned. Files count by their contents.
_PLACES = (
    "device",
    "classifier",
    "backbone.weights",
    "data.boxes",
    "data.classes",
    "data.hierarchy",
    "data.images",
)
_OF_EVALUATION = (
    "evaluation.boxes",
    "evaluation.images",
    "evaluation.image_labels",
    "evaluation.hierarchy",
)
_FREE = (
    *_PLACES,
    "data.workers",
    "data.bad_images",
    "engine.",
    "checkpoints.",
    "evaluation.",
    "limits.",
    "schedule.log_every",
    "schedule.checkpoint_every",
)


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


def judges_otherwise(saved: Saved, settings: TrainSettings) -> bool:
    """Tell whether evaluations until here say nothing about which later one is the best."""
    stored = validate_settings(saved.checkpoint.config)
    there, now = (each.evaluation.model_copy(update={"every": None}) for each in (stored, settings))
    return there != now or stored.checkpoints.keep_best != settings.checkpoints.keep_best


def refuse_other_inputs(saved: Saved, provenance: Provenance) -> None:
    """Raise MismatchError if a file has other contents than the one that was trained on.

    With the sequential sampler the images must lie in their archives as they did, too.
    """
    there, now = (
        {(p["role"], p["sha256"]) for p in record.get("parents", ())}
        for record in (saved.checkpoint.provenance, provenance)
    )
    if others := sorted(role for role, _ in there ^ now):
        raise _another_file(others[0], saved)
    if saved.checkpoint.provenance.get("image_order") != provenance.get("image_order"):
        raise MismatchError(
            "the images lie otherwise in their archives than where the run was trained until here, "
            "and the sequential sampler takes them as they lie",
            where=saved.pair.checkpoint,
            mend="Bring back the archives, in their order, or name another folder with --output "
            "for a new run.",
        )

    before = saved.checkpoint.provenance
    if "image_groups" in before and before["image_groups"] != provenance.get("image_groups"):
        raise MismatchError(
            "other shapes of images, and so other steps, than in the run until here",
            where=saved.pair.checkpoint,
            mend="Bring back the images, or name another folder with --output for a new run.",
        )


def refuse_other_files(saved: Saved, settings: TrainSettings) -> None:
    """Raise MismatchError if a file is named that the run was not trained on.

    For a run that is finished, whose inputs are not read: only what goes by another name than in
    the run is compared, and only if it is there.
    """
    stored, recorded = _files(validate_settings(saved.checkpoint.config)), _digests(saved)
    for role, path in _files(settings).items():
        is_new = path != stored.get(role) and path.is_file()
        if is_new and sha256(path) != recorded.get(role):
            raise _another_file(role, saved)


def _files(settings: TrainSettings) -> dict[str, Path]:
    return {"classifier": settings.classifier, **settings.data.files}


def _digests(saved: Saved) -> dict[str, str]:
    parents = saved.checkpoint.provenance.get("parents", ())
    return {parent["role"]: parent["sha256"] for parent in parents}


def _another_file(role: str, saved: Saved) -> MismatchError:
    return MismatchError(
        f"another file for {role} than the run was trained on until here",
        where=saved.pair.checkpoint,
        mend="Bring back the file, or name another folder with --output for a new run.",
    )


def refuse_disagreement(
    team: Team, settings: TrainSettings, saved: Saved | None, provenance: Provenance
) -> None:
    """Raise MismatchError, in all processes, unless all begin at one place with one set of files.

    On several machines the run folder and the data must be the same, on storage that they share,
    which may have another path on each. All other settings decide when the processes meet.
    """
    mine: dict[str, Any] = {
        key: bool(value) if key in (*_PLACES, *_OF_EVALUATION) else value
        for key, value in flat(settings.model_dump(mode="json")).items()
    }
    for role, digest in ((p["role"], p["sha256"]) for p in provenance.get("parents", ())):
        mine[f"file for {role}"] = (*mine.get(f"file for {role}", ()), digest)
    mine["order of images"] = provenance.get("image_order")
    mine["set of image shapes"] = provenance.get("image_groups")
    mine["checkpoint to go on from"] = saved and saved.state.checkpoint_sha256
    leaders, *theirs = team.gather_objects(mine)
    for rank, of_rank in enumerate(theirs, 1):
        names = {**leaders, **of_rank}
        if others := [name for name in names if of_rank.get(name) != leaders.get(name)]:
            raise MismatchError(
                f"process {rank} has another {others[0]} than process 0",
                mend="Start all processes with one command, on storage that all machines share.",
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
