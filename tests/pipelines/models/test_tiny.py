"""Tests for pipelines.models.tiny: the small classifier and its place in a detector."""

import pytest
import torch
from torch import nn
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.ops import FrozenBatchNorm2d

from pipelines.models.tiny import STAGE_CHANNELS, TinyConvNet

B, C = 2, 7


@pytest.mark.parametrize("size", [(32, 64), (48, 48), (50, 33)])
def test_any_size_of_image_is_classified(size: tuple[int, int]) -> None:
    """Logits have one column a class, whatever the images' size."""
    assert TinyConvNet(C)(torch.randn(B, 3, *size)).shape == (B, C)


def test_stages_have_the_strides_of_a_feature_pyramid() -> None:
    """A pyramid takes layer1 to layer4 by name, at strides 4, 8, 16 and 32."""
    stages = {f"layer{i}": f"layer{i}" for i in (1, 2, 3, 4)}

    maps = IntermediateLayerGetter(TinyConvNet(C), stages)(torch.randn(B, 3, 64, 96))

    for (name, x), channels, stride in zip(
        maps.items(), STAGE_CHANNELS, (4, 8, 16, 32), strict=True
    ):
        assert x.shape == (B, channels, 64 // stride, 96 // stride), name


def test_the_final_layer_acts_on_the_features() -> None:
    """Logits are the rows of ``fc`` times the features, so its rows are what transfers."""
    network = TinyConvNet(C).eval()
    images = torch.randn(B, 3, 48, 48)

    features = network.features(images)

    assert features.shape == (B, STAGE_CHANNELS[-1])
    torch.testing.assert_close(network(images), features @ network.fc.weight.T + network.fc.bias)


def test_a_classifier_becomes_a_detector_body_with_frozen_norms() -> None:
    """The state dict without ``fc`` loads into frozen norms, and the features stay the same."""
    classifier = TinyConvNet(C)
    classifier(torch.randn(8, 3, 48, 48))  # moves the running statistics
    classifier.eval()
    body = TinyConvNet(1, norm_layer=FrozenBatchNorm2d)
    weights = {k: v for k, v in classifier.state_dict().items() if not k.startswith("fc.")}

    missing, unexpected = body.load_state_dict(weights, strict=False)

    assert missing == ["fc.weight", "fc.bias"]
    assert not unexpected
    assert not any(isinstance(module, nn.BatchNorm2d) for module in body.modules())
    images = torch.randn(B, 3, 48, 48)
    torch.testing.assert_close(body.features(images), classifier.features(images))
