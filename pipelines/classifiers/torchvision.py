"""Classifiers that torchvision publishes: ``torchvision:NAME[@WEIGHTS]``."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision import models

from pipelines.errors import ArtifactError, ConfigError, did_you_mean

SCHEME = "torchvision:"


@dataclass(frozen=True)
class PublishedClassifier:
    """A downloaded classifier.

    Args:
        tensors: Its state dict.
        path: The downloaded file.
        categories: The names of its classes, in row order.
    """

    tensors: dict[str, Tensor]
    path: Path
    categories: tuple[str, ...]


def read_published(source: str) -> PublishedClassifier:
    """Download a classifier, unless torch's cache has it, and return its state dict.

    Args:
        source: ``torchvision:NAME[@WEIGHTS]``, where WEIGHTS is ``DEFAULT`` or a name such as
            ``IMAGENET1K_V2``.

    Raises:
        ConfigError: If torchvision has no such classifier, or no such weights for it.
        ArtifactError: If the download fails.
    """
    name, _, weights_name = source.removeprefix(SCHEME).partition("@")
    weights = _find_weights(name, weights_name or "DEFAULT")
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rpartition("/")[2]
    try:
        with redirect_stdout(sys.stderr):  # torch.hub announces a download on stdout
            model = models.get_model(name, weights=weights, progress=False)
    except OSError as error:  # urllib's errors are OSErrors
        raise ArtifactError(
            f"the weights cannot be downloaded ({error})",
            where=weights.url,
            mend=f"Download them elsewhere and put the file at {path}, or pass it as SOURCE.",
        ) from error
    except RuntimeError as error:  # a bad hash, or a damaged file in the cache
        raise ArtifactError(
            f"not the published weights ({error})", where=path, mend="Delete it and try again."
        ) from error
    categories = weights.meta["categories"] or ()  # none where only the features were published
    return PublishedClassifier(model.state_dict(), path, tuple(categories))


def _find_weights(name: str, weights_name: str) -> models.WeightsEnum:
    known = models.list_models(module=models)
    if name not in known:
        raise ConfigError(
            f"torchvision has no classifier {name!r}",
            mend=did_you_mean(name, known) or f"Known are {', '.join(known)}.",
        )
    published = models.get_model_weights(name).__members__
    if weights_name not in published:
        raise ConfigError(
            f"torchvision has no weights {weights_name!r} for {name}",
            mend=f"Known are {', '.join(published)}.",
        )
    return published[weights_name]
