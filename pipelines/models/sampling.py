"""Which anchors and RoIs of an image are trained on, as a function of the seed and the image.

Shapes: n candidates of an image, B images of a pass.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor, nn


class Draw(NamedTuple):
    """Where in a training a pass over images stands.

    Args:
        seed: Of the training.
        iteration: The step.
        first: Place of the pass's first image in the batch of all processes.
    """

    seed: int
    iteration: int
    first: int


class SeededSampler:
    """Draws a fixed number of candidates of each image, a fraction of them positive at most.

    It stands in for torchvision's, whose draws depend on all that was drawn before and on the
    other images. Here each candidate gets a number at random, by seed, iteration and place of the
    image in the batch, and the highest numbers win: however a batch is cut, and whoever continues a
    training, the draws are the same. The number drawn is known without waiting for the GPU.

    Args:
        size: Candidates drawn of an image.
        positive_fraction: Of them, at most.
        stage: Tells apart the samplers of a model; not 0.

    Attributes:
        draw: Where the training stands; None takes PyTorch's own random numbers.
    """

    draw: Draw | None = None

    def __init__(self, size: int, positive_fraction: float, stage: int) -> None:
        self.batch_size_per_image, self.positive_fraction = size, positive_fraction
        self._stage = stage

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Return masks ``[n]`` of the positives and of the negatives drawn of each image.

        Args:
            labels: For each image ``[n]``: above 0 positive, 0 negative, below 0 neither.
        """
        drawn = [self._of_image(of_image, place) for place, of_image in enumerate(labels)]
        return [positive for positive, _ in drawn], [negative for _, negative in drawn]

    def _of_image(self, labels: Tensor, place: int) -> tuple[Tensor, Tensor]:
        size = self.batch_size_per_image
        keys = torch.rand(
            len(labels), generator=self._generator(labels, place), device=labels.device
        )
        positive = _highest(keys, labels >= 1, int(size * self.positive_fraction))
        return positive, _highest(keys, labels == 0, size, fewer=positive.sum())

    def _generator(self, labels: Tensor, place: int) -> Generator | None:
        if self.draw is None:
            return None
        seed, iteration, first = self.draw
        return Generator(labels.device).manual_seed(
            seed_of(seed, iteration, first + place, self._stage)
        )


def seed_of(*numbers: int) -> int:
    """Return a seed that mixes whole numbers, in all of its bits; the last one must not be 0."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))


def samplers_of(model: nn.Module) -> list[SeededSampler]:
    """Return the samplers of a detector."""
    found = (getattr(module, "fg_bg_sampler", None) for module in model.modules())
    return [sampler for sampler in found if isinstance(sampler, SeededSampler)]


def _highest(keys: Tensor, among: Tensor, most: int, fewer: Tensor | int = 0) -> Tensor:
    """Return the mask ``[n]`` of the ``most - fewer`` highest keys among some, or of all."""
    ranked = torch.where(among, keys, -1.0).topk(min(most, len(keys)))
    places = torch.arange(len(ranked.indices), device=keys.device)
    mask = torch.zeros_like(among)
    mask[ranked.indices] = (ranked.values >= 0) & (places < most - fewer)
    return mask
