"""One training step: the losses of a batch, their gradients, and both optimizers."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.config import TrainSettings
from pipelines.data.batches import Target
from pipelines.training.optimizers import Optimizers


class StepOutcome(NamedTuple):
    """What came of a step.

    Args:
        losses: Each loss, and their sum as ``loss``.
        finite: Whether all of them are; if not, nothing was changed.
    """

    losses: dict[str, float]
    finite: bool


class TrainingStep:
    """Takes steps whose randomness depends on the seed and the iteration alone.

    Args:
        model: On ``device``, in training mode; returns a dict of losses.
        optimizers: Step once a batch.
        settings: Of the training.
        device: Where the model is.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizers: Optimizers,
        settings: TrainSettings,
        device: torch.device,
    ) -> None:
        self._model, self._optimizers = model, optimizers
        self._seed, self._device = settings.seed, device

    def __call__(self, iteration: int, images: list[Tensor], targets: list[Target]) -> StepOutcome:
        """Take a step.

        Args:
            iteration: Counted from 1.
            images: float32 from 0 to 1, on the device.
            targets: Of each image, on the device.
        """
        entropy = np.random.SeedSequence([self._seed, iteration])
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))
        losses = self._model(images, targets)
        total = sum(losses.values())
        values = torch.stack([*losses.values(), total]).detach().double().tolist()  # one transfer
        named = dict(zip([*losses, "loss"], values, strict=True))
        finite = all(map(math.isfinite, values))
        if finite:
            self._optimizers.zero_grad()
            total.backward()
            self._optimizers.step()
        return StepOutcome(named, finite)

    def state(self) -> dict[str, float]:
        """Return what the next step depends on besides weights and optimizers."""
        return {}

    def load_state(self, state: dict[str, float]) -> None:
        """Take over what :meth:`state` returned."""
