"""What ``wtn train --dry-run`` shows."""

from typing import TYPE_CHECKING

from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.config import TrainSettings
    from pipelines.distributed import Team
    from pipelines.training.plan import DiskUse, PlannedEvaluation, TrainingPlan
    from pipelines.training.resuming import Start

_GIGABYTE = 1e9


def show(
    settings: "TrainSettings", start: "Start", team: "Team", *, overwrite: bool, as_json: bool
) -> None:
    """Plan a training, and print what it would take."""
    from pipelines.plan import plan_training

    plan = plan_training(settings, start.folder, overwrite=overwrite, saved=start.saved, team=team)
    if as_json:
        console.emit_json(plan)
    else:
        _show(plan)


def _show(plan: "TrainingPlan") -> None:
    speed, parameters = plan.speed, plan.parameters
    together = f", {plan.processes} processes" if plan.processes > 1 else ""
    console.show_facts(
        f"dry run: {speed.steps} steps on {plan.device}{together}, {plan.precision}; "
        "nothing was written",
        {
            "parameters": f"{parameters.total:,}, of which {parameters.trained:,} train; "
            f"{parameters.transfer:,} are of the transfer network",
            "classes": f"{plan.seen} seen, {plan.other} other, {plan.novel} novel",
            "data": f"{plan.images:,} images, {plan.boxes:,} boxes",
            "loss": f"{speed.loss:.4f} at first",
            "memory": f"{_gigabytes(speed.memory_bytes)} at most, of one process",
            "speed": f"{speed.seconds_per_iteration:.3f} s an iteration, "
            f"{speed.images_per_second:.1f} images/s",
            "waits for data": f"{speed.data_wait:.0%} of the time",
            "to do": f"{plan.iterations:,} iterations of {plan.batch_size} images, "
            f"{plan.passes:,.1f} passes over the data",
            "time": _duration(plan.hours),
            "disk": _disk(plan.disk),
            "no hard links": f"{_gigabytes(plan.disk.checkpoint_bytes)} more, on such a disk",
            "evaluation": _evaluation(plan.evaluation),
        },
    )
    for why in speed.bad_images:
        console.note(f"A bad image, skipped: {why}.")
    note_if_full(plan.disk)


def note_if_full(disk: "DiskUse") -> None:
    """Tell that the checkpoints will not fit on the disk."""
    if not disk.fits:
        console.note(
            f"The disk has no room for the checkpoints: {_gigabytes(disk.needed_bytes)} are "
            f"needed, {_free(disk)}. Make room, or lower checkpoints.keep_last."
        )


def _disk(disk: "DiskUse") -> str:
    pair = _gigabytes(disk.checkpoint_bytes + disk.state_bytes)
    needed = f"{_gigabytes(disk.needed_bytes)} for checkpoints, {pair} each time"
    return f"{needed}; {_free(disk)}"


def _free(disk: "DiskUse") -> str:
    if disk.free_bytes is None:
        return "what is free is not known"
    return f"{_gigabytes(disk.free_bytes)} are free"


def _evaluation(evaluation: "PlannedEvaluation | None") -> str:
    if evaluation is None:
        return "none (evaluation.every)"
    figures = ", ".join(evaluation.figures)
    images, seconds = f"{evaluation.images:,} images", f"{evaluation.seconds:.0f} s"
    return f"{evaluation.times} times on {images}, about {seconds} each: {figures}"


def _gigabytes(size: int) -> str:
    return f"{size / _GIGABYTE:.2f} GB"


def _duration(hours: float) -> str:
    """Return ``2 days, 3 hours``, ``5.2 hours`` or ``12 min``."""
    if hours >= 48:
        days, rest = divmod(round(hours), 24)
        return f"{days} days, {rest} hours"
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(60 * hours))} min"
