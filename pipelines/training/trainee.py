"""What is being trained, as something that can be saved and put back between two steps."""

from collections.abc import Mapping
from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.errors import ArtifactError, RunError
from pipelines.training.checkpoints import Saved
from pipelines.training.optimizers import Optimizers
from pipelines.training.progress import Progress
from pipelines.training.state import TrainingState
from pipelines.training.step import TrainingStep


class Trainee(NamedTuple):
    """A detector and all that changes with it from step to step.

    Args:
        model: The detector.
        optimizers: Of its parameters.
        step: Takes the steps.
    """

    model: GeneralizedRCNN
    optimizers: Optimizers
    step: TrainingStep

    def weights(self, iteration: int) -> dict[str, Tensor]:
        """Return the model's state dict.

        Raises:
            RunError: If a weight, or what an optimizer gathered, is not finite.
        """
        state: dict[str, Tensor] = self.model.state_dict()
        _refuse_not_finite(state, iteration)
        _refuse_not_finite(self.optimizers.state(), iteration)
        return state

    def state(self, progress: Progress, checkpoint_sha256: str) -> TrainingState:
        """Return everything else.

        Args:
            progress: How far the training has come.
            checkpoint_sha256: Of the file that holds the weights.
        """
        return TrainingState(
            self.optimizers.state(), _random(), self.step.state(), progress, checkpoint_sha256
        )

    def restore(self, saved: Saved) -> Progress:
        """Put everything back; return how far the training had come.

        Raises:
            ArtifactError: If it is of another detector.
        """
        try:
            self.model.load_state_dict(dict(saved.checkpoint.model))
            self.optimizers.load_state(saved.state.optimizers)
        except (RuntimeError, ArtifactError) as error:
            raise ArtifactError(
                f"does not fit the detector that the settings describe: {error}",
                where=saved.pair.checkpoint,
            ) from error
        self.step.load_state(dict(saved.state.step))
        _put_back_random(saved.state.random)
        return deepcopy(saved.state.progress)


def _refuse_not_finite(tensors: Mapping[str, Tensor], iteration: int) -> None:
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise RunError(
            f"{bad[0]} is not finite after iteration {iteration} ({len(bad)} of {len(tensors)} "
            "tensors)",
            mend="It was not saved. Lower optimizer.learning_rate.",
        )


def _random() -> dict[str, Tensor]:
    """Return the states of PyTorch's generators; each step seeds them, so they are a record."""
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def _put_back_random(states: Mapping[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
