"""Tests for pipelines.models.backbones."""

import pytest
import torch
import torchvision
from torch import nn
from torchvision.ops import FrozenBatchNorm2d

from pipelines.config import BackboneSettings
from pipelines.errors import MismatchError
from pipelines.models.backbones import build_backbone
from pipelines.models.tiny import TinyConvNet

NAMES = ("resnet50", "resnet18", "mobilenet_v2", "tiny")


def settings(name: str, **options: object) -> BackboneSettings:
    """Return backbone settings with a narrow pyramid."""
    return BackboneSettings.model_validate({"name": name, "fpn_channels": 8, **options})


@pytest.mark.parametrize("name", NAMES)
def test_pyramid_has_five_levels(name: str) -> None:
    """Strides are 4, 8, 16, 32 and 64, all as wide as the pyramid."""
    with torch.no_grad():
        levels = build_backbone(settings(name))(torch.zeros(1, 3, 128, 64))

    assert [tuple(level.shape) for level in levels.values()] == [
        (1, 8, 32, 16),
        (1, 8, 16, 8),
        (1, 8, 8, 4),
        (1, 8, 4, 2),
        (1, 8, 2, 1),
    ]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("trainable", [0, 3, 5])
def test_stages_freeze_from_the_input_on(name: str, trainable: int) -> None:
    """With 3 of 5 the first layers are fixed and the last ones train; the pyramid always does."""
    backbone = build_backbone(settings(name, trainable_stages=trainable))
    flags = [p.requires_grad for p in backbone.body.parameters()]

    assert flags == sorted(flags)
    assert any(flags) == (trainable > 0)
    assert all(flags) == (trainable == 5)
    assert all(p.requires_grad for p in backbone.fpn.parameters())


def test_frozen_stages_keep_their_statistics() -> None:
    """A stage that does not train has no batch norm that moves, whatever the setting."""
    free = settings("resnet18", frozen_batch_norm=False, trainable_stages=2)
    backbone = build_backbone(free).train()
    before = {n: b.clone() for n, b in backbone.body.named_buffers()}

    backbone(torch.rand(2, 3, 64, 64))

    moved = {n.split(".")[0] for n, b in backbone.body.named_buffers() if not b.equal(before[n])}
    assert moved == {"layer3", "layer4"}


def test_batch_norm_is_frozen_on_request() -> None:
    """Frozen means buffers instead of parameters."""
    frozen = build_backbone(settings("resnet18"))
    free = build_backbone(settings("resnet18", frozen_batch_norm=False, trainable_stages=5))

    assert not any(isinstance(m, nn.BatchNorm2d) for m in frozen.modules())
    assert any(isinstance(m, FrozenBatchNorm2d) for m in frozen.modules())
    assert not any(isinstance(m, FrozenBatchNorm2d) for m in free.modules())


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "tiny"])
def test_a_classifier_becomes_the_body(name: str, *, frozen: bool) -> None:
    """The classifier's weights end up in the detector, its last layer is left out."""
    if name == "tiny":
        classifier: nn.Module = TinyConvNet(7)
    else:
        classifier = torchvision.models.get_model(name, weights=None, num_classes=7)
    nn.init.constant_(
        next(m for m in classifier.modules() if isinstance(m, nn.BatchNorm2d)).bias, 3
    )
    state = classifier.state_dict()

    backbone = build_backbone(settings(name, frozen_batch_norm=frozen), state)

    loaded = backbone.body.state_dict()
    assert loaded
    for key, tensor in loaded.items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(tensor, state.get(key, state.get(f"features.{key}")))


def test_weights_of_another_network_are_refused() -> None:
    """The first tensor that is missing is named, and the setting to change."""
    state = TinyConvNet(7).state_dict()

    with pytest.raises(MismatchError, match=r"not of a torchvision resnet18(.|\n)*backbone.name"):
        build_backbone(settings("resnet18", weights="tiny.pth"), state)


@pytest.mark.parametrize("name", NAMES)
def test_the_last_stage_is_what_the_classifier_sees(name: str) -> None:
    """The body computes the classification network's own features, activations included."""
    torch.manual_seed(0)
    network = (
        TinyConvNet(3) if name == "tiny" else torchvision.models.get_model(name, num_classes=3)
    ).eval()
    seen: list[torch.Tensor] = []
    final = [layer for layer in network.modules() if isinstance(layer, nn.Linear)][-1]
    final.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    images = torch.randn(1, 3, 64, 64)
    body = build_backbone(settings(name), network.state_dict()).eval().body

    with torch.no_grad():
        network(images)
        stage = list(body(images).values())[-1]

    torch.testing.assert_close(stage.mean(dim=(2, 3)), seen[0], rtol=1e-4, atol=1e-5)
