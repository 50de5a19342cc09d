"""What a training would take: everything is prepared as for training, and a few steps are taken."""

import time
from pathlib import Path

import torch
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import TrainSettings
from pipelines.distributed import ALONE, Team, joined
from pipelines.metrics.periodic_evaluation import PeriodicEvaluation
from pipelines.training.checkpoints import Saved
from pipelines.training.disk_use import disk_use
from pipelines.training.dry_run import count_parameters, try_steps
from pipelines.training.plan import PlannedEvaluation, TrainingPlan
from pipelines.training.preparation import read_inputs, set_up
from pipelines.training.same_training import refuse_disagreement

_SECONDS_AN_HOUR = 3600
_TRIAL_IMAGES = 8  # of an evaluation, to reckon its time


def plan_training(
    settings: TrainSettings,
    output: Path,
    *,
    overwrite: bool = False,
    saved: Saved | None = None,
    team: Team = ALONE,
) -> TrainingPlan:
    """Tell what :func:`pipelines.train.train_detector` would take; nothing is written.

    Args:
        settings: What to train on, and how.
        output: The run folder.
        overwrite: Whether the run that is in it would be replaced.
        saved: What the run would go on from; None plans a new one.
        team: The processes that would share each batch.

    Raises:
        WTNError: Whatever the training would raise by the end of these steps.
    """
    inputs, provenance = read_inputs(settings, output, overwrite=overwrite, saved=saved)
    measure = PeriodicEvaluation.wanted(settings, inputs.classifier, inputs.detection, team)
    with joined(team, settings.device) as device:
        refuse_disagreement(team, settings, saved, provenance)
        trainee, progress, batches = set_up(settings, inputs, saved, device, team, output)
        taken, model = progress.iteration, trainee.model
        speed = try_steps(trainee, batches, settings, device, team, taken=taken)
        evaluation = None if measure is None else _evaluations(measure, model, settings, taken)
    left, batch_size = settings.schedule.iterations - taken, settings.schedule.batch_size
    seconds = left * speed.seconds_per_iteration
    seconds += evaluation.times * evaluation.seconds if evaluation is not None else 0.0
    return TrainingPlan(
        device=_name(device),
        processes=team.size,
        precision=settings.engine.precision,
        parameters=count_parameters(model),
        images=len(inputs.dataset),
        boxes=len(inputs.split.boxes),
        seen=len(inputs.partition.seen),
        other=len(inputs.partition.other),
        novel=len(inputs.partition.novel),
        iterations=left,
        batch_size=batch_size,
        passes=left * batch_size / len(inputs.dataset),
        speed=speed,
        hours=seconds / _SECONDS_AN_HOUR,
        disk=disk_use(trainee, inputs.classifier, settings, output),
        evaluation=evaluation,
    )


def _evaluations(
    measure: PeriodicEvaluation, model: GeneralizedRCNN, settings: TrainSettings, taken: int
) -> PlannedEvaluation:
    """Reckon the time of an evaluation from its first images."""
    every, last = settings.evaluation.every, settings.schedule.iterations
    assert every is not None  # or nothing would measure
    at = {step for step in range(every, last + 1, every) if step > taken} | {last}
    few = measure.on_first(_TRIAL_IMAGES)
    began = time.perf_counter()
    few(model)
    seconds = (time.perf_counter() - began) * measure.num_images / few.num_images
    return PlannedEvaluation(len(at), measure.num_images, measure.names, seconds)


def _name(device: torch.device) -> str:
    """Return a device's name, with that of the GPU."""
    if device.type != "cuda":
        return str(device)
    return f"{device} ({torch.cuda.get_device_name(device)})"
