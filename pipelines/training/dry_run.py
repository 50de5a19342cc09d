"""Take a few steps of a training, to be timed and forgotten.

Nothing is written.
"""

import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import nn

from pipelines.config import TrainSettings
from pipelines.data.batches import Batch, SkippedImage
from pipelines.devices import peak_memory_bytes
from pipelines.distributed import Team
from pipelines.errors import RunError
from pipelines.models.wtn import WeightTransfer
from pipelines.training.nonfinite import not_finite
from pipelines.training.plan import Parameters, Speed
from pipelines.training.step import StepOutcome
from pipelines.training.trainee import Trainee

_STEPS = 8  # at most; the first one warms up
_FEW_STEPS, _SECONDS = 3, 60.0  # after both no step begins


class _Taken(NamedTuple):
    """A step that was taken.

    Args:
        seconds: It took, data loading included.
        waited: Of these, for data.
        loss: The sum of all losses.
        skipped: Images that do not decode.
    """

    seconds: float
    waited: float
    loss: float
    skipped: tuple[SkippedImage, ...]


def try_steps(
    trainee: Trainee,
    batches: Iterable[Batch],
    settings: TrainSettings,
    device: torch.device,
    team: Team,
    *,
    taken: int = 0,
) -> Speed:
    """Take the first steps of a training.

    Args:
        trainee: To be thrown away afterwards.
        batches: From the first of these steps on, on the device.
        settings: Of the training.
        device: Where the model is.
        team: The processes that share each batch.
        taken: Steps before these.

    Raises:
        RunError: If more losses are not finite than the training would put up with.
    """
    steps = list(islice(_steps(trainee, batches, settings, device, team, taken), _STEPS))
    warm = steps[1:] or steps
    own = [image for step in steps for image in step.skipped]
    skipped = (image for part in team.gather_objects(own) for image in part)
    median = statistics.median(step.seconds for step in warm)
    return Speed(
        steps=len(steps),
        seconds_per_iteration=median,
        images_per_second=settings.schedule.batch_size / median,
        data_wait=sum(step.waited for step in warm) / sum(step.seconds for step in warm),
        memory_bytes=peak_memory_bytes(device),
        loss=steps[0].loss,
        bad_images=tuple(dict.fromkeys(image.why for image in skipped)),
    )


def count_parameters(model: nn.Module) -> Parameters:
    """Count the numbers of a detector in training."""
    networks = [module for module in model.modules() if isinstance(module, WeightTransfer)]
    return Parameters(
        total=_numbers(model.parameters()),
        trained=_numbers(p for p in model.parameters() if p.requires_grad),
        transfer=sum(_numbers(network.parameters()) for network in networks),
    )


def _steps(
    trainee: Trainee,
    batches: Iterable[Batch],
    settings: TrainSettings,
    device: torch.device,
    team: Team,
    taken: int,
) -> Iterator[_Taken]:
    began = asked = time.perf_counter()
    bad = 0
    for number, batch in enumerate(batches, start=1):
        waited = time.perf_counter() - asked
        trainee.optimizers.set_rates(taken + number - 1)
        outcome = trainee.step(taken + number, batch.pixels, batch.targets)
        bad += not outcome.finite
        if bad > settings.limits.skip_nonfinite:
            raise _not_finite(taken + number, outcome)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        yield _Taken(now - asked, waited, outcome.losses["loss"], tuple(batch.skipped))
        if team.any(number >= _FEW_STEPS and now - began > _SECONDS):
            return
        asked = time.perf_counter()


def _not_finite(iteration: int, outcome: StepOutcome) -> RunError:
    return RunError(
        f"{not_finite(outcome.culprits)} at iteration {iteration}",
        mend="Lower optimizer.learning_rate, or warm up longer (schedule.warmup_iterations).",
    )


def _numbers(parameters: Iterable[nn.Parameter]) -> int:
    return sum(parameter.numel() for parameter in parameters)
