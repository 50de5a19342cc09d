"""Run a classification network with the rows of its artifact.

Shapes: C classifier classes, d classifier width, B images of a batch, n labels of a batch, J
labelled classes.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as transforms

from pipelines.artifacts import ClassifierWeights
from pipelines.config import BackboneSettings
from pipelines.errors import MismatchError
from pipelines.models.tiny import TinyConvNet

Activation = Literal["softmax", "sigmoid"]
CROPPED = 224 / 256  # share of the shorter side that the usual central crop keeps
_FINAL_LAYERS = {"mobilenet_v2": "classifier.1"}  # elsewhere it is "fc"
_NOT_NEEDED = "num_batches_tracked"


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


def classification_network(
    settings: BackboneSettings, state_dict: Mapping[str, Tensor], classifier: ClassifierWeights
) -> nn.Module:
    """Return a network whose final layer has the rows and the bias of an artifact.

    It returns logits ``[B, C]`` of normalised images ``[B, 3, H, W]``, and is in evaluation mode.

    Args:
        settings: Which network.
        state_dict: Of the whole network; its own final layer is left out.
        classifier: The rows ``[C, d]``.

    Raises:
        MismatchError: If the state dict is not of this network, or the rows are of another width.
    """
    network: nn.Module = _build(settings.name)
    layer = _FINAL_LAYERS.get(settings.name, "fc")
    width: int = network.get_parameter(f"{layer}.weight").shape[1]
    classes, given = classifier.weight.shape
    if width != given:
        raise MismatchError(
            f"the rows are {given} wide, the features of {settings.name} {width}",
            mend="Give the network that the rows were extracted from.",
        )
    final = nn.Linear(width, classes, bias=classifier.bias is not None)
    network.set_submodule(layer, final)
    rows = {f"{layer}.weight": classifier.weight, f"{layer}.bias": classifier.bias}
    _load(network, {**state_dict, **rows}, settings)
    return network.eval()


def _build(name: str) -> nn.Module:
    if name == "tiny":
        return TinyConvNet(num_classes=1)
    network: nn.Module = torchvision.models.get_model(name, weights=None)
    return network


def _load(
    network: nn.Module, given: Mapping[str, Tensor | None], settings: BackboneSettings
) -> None:
    wanted = {n: t for n, t in network.state_dict().items() if not n.endswith(_NOT_NEEDED)}
    state = {name: tensor for name in wanted if (tensor := given.get(name)) is not None}
    bad = [n for n, t in wanted.items() if n not in state or state[n].shape != t.shape]
    if bad:
        raise MismatchError(
            f"the weights {settings.weights} are not of a torchvision {settings.name}: "
            f"{bad[0]!r} is missing or of another shape, as are {len(bad) - 1} more of "
            f"{len(wanted)}",
            mend="Name the network that the weights belong to: --backbone.",
        )
    network.load_state_dict(state, strict=False)


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
