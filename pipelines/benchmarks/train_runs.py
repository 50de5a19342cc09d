"""Steps of a training, timed in turns, and the memory that they need.

Shapes: B images of a batch, H and W of one in pixels.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import torch

from pipelines.benchmarks.allocated_memory import peak_allocated_bytes
from pipelines.benchmarks.stage_clock import seconds_of
from pipelines.benchmarks.train_models import drawn_detector
from pipelines.benchmarks.train_setup import TrainSetup, draw_batch, train_settings
from pipelines.data.batches import Batch
from pipelines.errors import RunError
from pipelines.training.acceleration import accelerate
from pipelines.training.optimizers import Optimizers
from pipelines.training.prefetch import on_device
from pipelines.training.step import TrainingStep

Turn = Callable[[int], object]  # takes so many steps
STEPS_OF_A_TURN = {"cuda": 10, "cpu": 1}  # a GPU is kept busy by steps that follow each other
WARM_UP_TURNS = {"cuda": 5, "cpu": 1}
STEPS_FOR_MEMORY = 2  # the optimizers have their state after the first


@dataclass(frozen=True)
class Contestant:
    """Our training of one method.

    Args:
        method: One of ``METHODS``.
        engine: Settings of the engine that are not the default.
        float_images: Whether images come to the device as float32, not as uint8.
    """

    method: str
    engine: Mapping[str, object] = field(default_factory=dict)
    float_images: bool = False


class OurTurn:
    """Takes steps of our training, each from a batch in memory to new weights.

    Args:
        setup: Sizes, device and precision.
        contestant: What to train, and how.
    """

    def __init__(self, setup: TrainSetup, contestant: Contestant) -> None:
        settings = train_settings(setup, contestant.method, contestant.engine)
        self._device = torch.device(setup.device)
        self._model = model = drawn_detector(setup, settings)
        accelerate(model, settings.engine, self._device)
        self._optimizers = Optimizers(
            model, settings.optimizer, settings.schedule, fused=settings.engine.fused
        )
        self._step = TrainingStep(model, self._optimizers, settings, self._device)
        self._float_images, self._taken = contestant.float_images, 0
        drawn = draw_batch(setup)
        if self._float_images:
            drawn = drawn._replace(images=drawn.pixels)
        self._batch = _pinned(drawn, self._device)

    def __call__(self, steps: int) -> None:
        """Take steps, and then let go of the gradients.

        Raises:
            RunError: If a loss is not finite.
        """
        for batch in on_device([self._batch] * steps, self._device):
            self._optimizers.set_rates(self._taken)
            self._taken += 1
            pixels = batch.images if self._float_images else batch.pixels
            outcome = self._step(self._taken, pixels, batch.targets)
            if not outcome.finite:
                raise RunError(f"a loss is not finite: {outcome.losses}")
        self._optimizers.zero_grad()


def _pinned(batch: Batch, device: torch.device) -> Batch:
    """Return a batch as a loader hands it over for a device."""
    if device.type != "cuda":
        return batch
    return batch._replace(
        images=[image.pin_memory() for image in batch.images],
        targets=[
            {name: tensor.pin_memory() for name, tensor in target.items()}
            for target in batch.targets
        ],
    )


def rounds(setup: TrainSetup, turns: Mapping[str, Turn], runs: int) -> Iterator[dict[str, float]]:
    """Yield round by round the seconds of a step of each, after an empty one for the warm-up.

    They take turns, so that what else the machine does slows all of them down.
    """
    kind = torch.device(setup.device).type
    steps = STEPS_OF_A_TURN[kind]
    for turn in turns.values():
        turn(steps * WARM_UP_TURNS[kind])
    yield {}
    for _ in range(runs):
        yield {
            name: seconds_of(partial(turn, steps), setup.device) / steps
            for name, turn in turns.items()
        }


def peak_bytes(setup: TrainSetup, contestant: Contestant) -> int:
    """Return the most memory that torch gives out to a training, in a process of its own."""

    def run() -> None:
        OurTurn(setup, contestant)(STEPS_FOR_MEMORY)

    with cpu_threads(setup.threads):
        return peak_allocated_bytes(run, torch.device(setup.device))


@contextmanager
def cpu_threads(threads: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU in the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
