"""Tests for pipelines.models.classification."""

import zipfile
from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn

from pipelines.artifacts import ClassifierWeights
from pipelines.classifiers.sources import read_source
from pipelines.config import BackboneSettings
from pipelines.data.image_decoding import decode
from pipelines.errors import MismatchError
from pipelines.models.classification import (
    LabelledImages,
    classification_network,
    mean_probabilities,
    prepare_image,
)
from pipelines.models.tiny import TinyConvNet
from pipelines.vocabulary import Vocabulary

C = 5


def classifier_of(weight: Tensor, bias: Tensor | None) -> ClassifierWeights:
    """Return the artifact of a final layer."""
    ids = tuple(map(str, range(len(weight))))
    return ClassifierWeights(weight, bias, Vocabulary(ids, ids), "body:1")


class Given(nn.Module):
    """A network whose images are its logits."""

    def forward(self, images: Tensor) -> Tensor:
        """Return them."""
        return images


@pytest.mark.parametrize("name", ["tiny", "resnet18", "mobilenet_v2"])
def test_it_scores_as_the_network_that_it_was_taken_from(name: str) -> None:
    """Body, pooling, rows and bias together are the classification network."""
    torch.manual_seed(0)
    whole = TinyConvNet(C) if name == "tiny" else torchvision.models.get_model(name, num_classes=C)
    for module in whole.modules():  # a fresh normalisation would hide a missing one
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    layer = whole.classifier[1] if name == "mobilenet_v2" else whole.fc
    nn.init.uniform_(layer.bias)
    classifier = classifier_of(layer.weight.detach(), layer.bias.detach())
    images = torch.randn(2, 3, 64, 96)

    network = classification_network(BackboneSettings(name=name), whole.state_dict(), classifier)

    with torch.inference_mode():
        torch.testing.assert_close(network(images), whole.eval()(images))


def test_rows_of_another_width_are_refused() -> None:
    """Rows that do not fit the features are not of this network."""
    state = TinyConvNet(C).state_dict()

    with pytest.raises(MismatchError, match="the rows are 7 wide, the features of tiny 256"):
        classification_network(
            BackboneSettings(name="tiny"), state, classifier_of(torch.ones(C, 7), None)
        )


def test_weights_of_another_network_are_refused() -> None:
    """The first tensor that is missing is named."""
    classifier = classifier_of(torch.ones(C, 512), None)

    with pytest.raises(MismatchError, match="of a torchvision resnet18: 'conv1"):
        classification_network(
            BackboneSettings(name="resnet18"), {"fc.weight": torch.ones(C, 512)}, classifier
        )


def test_means_over_the_images_of_each_class() -> None:
    """Three images in two batches; the first has two labels, and one class has no image."""
    probabilities = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.3, 0.3, 0.4]])
    logits = probabilities.log() + torch.tensor([[7.0], [-2.0], [0.0]])  # softmax drops a shift
    batches = [
        LabelledImages(logits[:2], torch.tensor([0, 0, 1]), torch.tensor([0, 2, 2])),
        LabelledImages(logits[2:], torch.tensor([0]), torch.tensor([2])),
    ]

    means, counts = mean_probabilities(Given(), batches, num_labelled=3)

    expected = [[0.5, 0.3, 0.2], [0.0, 0.0, 0.0], [0.3, 1.4 / 3, 0.7 / 3]]
    torch.testing.assert_close(means, torch.tensor(expected))
    assert counts.tolist() == [1, 0, 3]


def test_a_sigmoid_classifier_has_probabilities_of_each_class_alone() -> None:
    """With several labels an image, they need not sum to 1."""
    logits = torch.tensor([[0.0, 0.0], [0.0, 3.0]])
    batch = LabelledImages(logits, torch.tensor([0, 1]), torch.tensor([0, 0]))

    means, _ = mean_probabilities(Given(), [batch], 1, "sigmoid")

    torch.testing.assert_close(means, torch.tensor([[0.5, (0.5 + 0.9525741) / 2]]))


@pytest.mark.parametrize("shape", [(3, 256, 512), (3, 512, 256), (3, 1, 9), (3, 40, 40)])
def test_an_image_is_cropped_in_the_middle_and_normalised(shape: tuple[int, ...]) -> None:
    """A central square of 7/8 of the shorter side is left, whatever the shape."""
    settings = BackboneSettings(image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.25, 0.5))
    image = torch.full(shape, 255, dtype=torch.uint8)
    image[:, :, : shape[2] // 40] = 0  # a margin that the crop leaves out

    prepared = prepare_image(image, 32, settings)

    expected = torch.tensor([1.0, 2.0, 1.0])[:, None, None].expand(3, 32, 32)
    torch.testing.assert_close(prepared, expected)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("photograph", "name"),
    [
        ("train2017/000000000034.jpg", "zebra"),
        ("train2017/000000000450.jpg", "pizza"),
        ("train2017/000000000471.jpg", "school bus"),
        ("val2017/000000000285.jpg", "brown bear"),
        ("val2017/000000000776.jpg", "teddy"),
    ],
)
def test_a_real_classifier_knows_real_photographs(
    real_data: Path, photograph: str, name: str
) -> None:
    """MobileNetV2 on ImageNet finds the animal or thing that fills a photograph."""
    source = read_source(str(real_data / "classifiers/mobilenet_v2_imagenet1k.safetensors"))
    lines = (real_data / "classifiers/imagenet1k-classes.csv").read_text().splitlines()[1:]
    weight, bias = (source.tensors[f"classifier.1.{part}"] for part in ("weight", "bias"))
    half = (0.5, 0.5, 0.5)
    settings = BackboneSettings(name="mobilenet_v2", image_mean=half, image_std=half)
    network = classification_network(settings, source.tensors, classifier_of(weight, bias))
    with zipfile.ZipFile(real_data / "coco128/images.zip") as archive:
        image = decode(archive.read(photograph), photograph)

    with torch.inference_mode():
        best = network(prepare_image(image, 224, settings)[None])[0].argmax()

    assert lines[int(best)].split(",")[2] == name
