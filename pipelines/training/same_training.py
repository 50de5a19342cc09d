"""Whether a saved training and one that would go on with it are the same."""

from typing import Any

from pipelines.config import TrainSettings, validate_settings
from pipelines.config.comparison import differences, first_of, flat
from pipelines.distributed import Team
from pipelines.errors import ConfigError, MismatchError
from pipelines.provenance import Provenance
from pipelines.training.checkpoints import Saved

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

    before = saved.checkpoint.provenance
    if "image_groups" in before and before["image_groups"] != provenance.get("image_groups"):
        raise MismatchError(
            "other shapes of images, and so other steps, than in the run until here",
            where=saved.pair.checkpoint,
            mend="Bring back the images, or name another folder with --output for a new run.",
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
        "shapes of images": provenance.get("image_groups"),
    }
    theirs = team.gather_objects(mine)
    for rank, of_rank in enumerate(theirs):
        if others := [name for name in mine if of_rank[name] != theirs[0][name]]:
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
