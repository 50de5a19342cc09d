"""Run a classification network with the rows of its artifact.

Shapes: C classifier classes, d classifier width, B images of a batch, n labels of a batch, J
labelled classes.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import functional as transforms

from pipelines.artifacts import ClassifierWeights
from pipelines.config import BackboneSettings
from pipelines.errors import MismatchError
from pipelines.models.backbones import build_backbone

Activation = Literal["softmax", "sigmoid"]
CROPPED = 224 / 256  # share of the shorter side that the usual central crop keeps
_LAST_STAGE = "3"


class LabelledImages(NamedTuple):
    """A batch of images with any number of labels each.

    Args:
        images: ``[B, 3, H, W]``, normalised.
        image: ``[n]`` int64, the image of each label.
        label: ``[n]`` int64, which of the J classes it is.
    """

    images: Tensor
    image: Tensor
    label: Tensor


class ClassificationNetwork(nn.Module):
    """A backbone's last stage, averaged over the image, meets the classifier's rows.

    Args:
        settings: Which network, and how its images are normalised.
        state_dict: Of the whole classification network.
        classifier: The rows ``[C, d]`` and the bias.

    Raises:
        MismatchError: If the state dict is not of this network, or the rows are of another width.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        settings: BackboneSettings,
        state_dict: Mapping[str, Tensor],
        classifier: ClassifierWeights,
    ) -> None:
        super().__init__()
        frozen = settings.model_copy(update={"frozen_batch_norm": True, "trainable_stages": 0})
        self.body: nn.Module = build_backbone(frozen, state_dict).body
        self.register_buffer("weight", classifier.weight)
        self.register_buffer("bias", classifier.bias)
        width = self.features(torch.zeros(1, 3, 64, 64)).shape[1]
        if width != classifier.weight.shape[1]:
            raise MismatchError(
                f"the rows are {classifier.weight.shape[1]} wide, the features of {settings.name} "
                f"{width}",
                mend="Give the network that the rows were extracted from.",
            )

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return what the rows act on, ``[B, d]``, of normalised images ``[B, 3, H, W]``."""
        maps: Tensor = self.body(images)[_LAST_STAGE]
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits ``[B, C]`` of normalised images ``[B, 3, H, W]``."""
        return F.linear(self.features(images), self.weight, self.bias)


@torch.inference_mode()
def mean_probabilities(
    network: nn.Module,
    batches: Iterable[LabelledImages],
    num_labelled: int,
    activation: Activation = "softmax",
) -> tuple[Tensor, Tensor]:
    """Return the mean probability of every class over the images of each labelled class.

    This is ``sv(j, i)``, how similar class j looks to class i (Tang et al., CVPR 2016).

    Args:
        network: Returns logits ``[B, C]`` of images; in evaluation mode, on the images' device.
        batches: An image may have several labels, and is in the mean of each.
        num_labelled: J.
        activation: What the classifier was trained with.

    Returns:
        ``[J, C]`` float32 means, 0 for a class without images, and ``[J]`` int64 numbers of images.
    """
    images = torch.zeros(num_labelled, dtype=torch.int64)
    sums: Tensor | None = None
    for batch in batches:
        logits = network(batch.images)
        scores = logits.softmax(dim=1) if activation == "softmax" else logits.sigmoid()
        of_labels = scores.cpu().double()[batch.image]  # [n, C]
        if sums is None:
            sums = torch.zeros(num_labelled, scores.shape[1], dtype=torch.float64)
        sums.index_add_(0, batch.label, of_labels)
        images += batch.label.bincount(minlength=num_labelled)
    if sums is None:
        raise ValueError("no batch of images")
    return (sums / images.clamp(min=1)[:, None]).float(), images


def prepare_image(image: Tensor, size: int, settings: BackboneSettings) -> Tensor:
    """Crop an image's middle, resize it and normalise it, as classifiers are usually evaluated.

    Args:
        image: ``[3, H, W]`` uint8.
        size: Side of the network's input in pixels.
        settings: Mean and spread of each channel.

    Returns:
        ``[3, size, size]`` float32.
    """
    side = max(1, round(CROPPED * min(image.shape[1:])))
    square = transforms.center_crop(image, [side, side]).float() / 255
    resized = transforms.resize(square, [size, size], antialias=True)
    mean, std = list(settings.image_mean), list(settings.image_std)
    normalized: Tensor = transforms.normalize(resized, mean, std)
    return normalized
