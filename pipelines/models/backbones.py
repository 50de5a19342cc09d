"""Classification networks as detector bodies: four feature maps, at strides 4, 8, 16 and 32."""

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torchvision
from torch import Tensor, nn
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.ops import FrozenBatchNorm2d

from pipelines.config import BackboneSettings
from pipelines.errors import MismatchError
from pipelines.models.tiny import STAGE_CHANNELS, TinyConvNet


class _Body(NamedTuple):
    """A network's parts.

    Args:
        network: Without its classification layers.
        stages: Module names of each of five stages, from the input on.
        channels: Of the last module of the last four stages, whose outputs feed the pyramid.
        prefix: What the names of ``network`` start with in the classifier's state dict.
    """

    network: nn.Module
    stages: tuple[tuple[str, ...], ...]
    channels: tuple[int, ...]
    prefix: str = ""


class Float32Pyramid(BackboneWithFPN):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's feature pyramid, in float32 also under autocast.

    Torchvision makes anchors in the type of the features, and bfloat16 has no 1001.
    """

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the pyramid's levels by name, each ``[B, channels, H, W]``."""
        return {name: level.float() for name, level in super().forward(x).items()}


def build_backbone(
    settings: BackboneSettings, state_dict: Mapping[str, Tensor] | None = None
) -> BackboneWithFPN:
    """Return a backbone with its feature pyramid.

    Args:
        settings: Which network, and what of it trains.
        state_dict: Of the whole classification network; its classification layers are left out.

    Raises:
        MismatchError: If the state dict is not of this network.
    """
    norm_layer = FrozenBatchNorm2d if settings.frozen_batch_norm else nn.BatchNorm2d
    body = _BODIES[settings.name](norm_layer)
    if state_dict is not None:
        _load(body, state_dict, settings)
    frozen = body.stages[: 5 - settings.trainable_stages]
    for name in (name for stage in frozen for name in stage):
        _freeze(body.network, name)
    outputs = {stage[-1]: str(level) for level, stage in enumerate(body.stages[1:])}
    return Float32Pyramid(
        body.network, outputs, list(body.channels), out_channels=settings.fpn_channels
    )


def _freeze(network: nn.Module, name: str) -> None:
    """Fix a submodule's parameters, and its batch-norm statistics, which move by themselves."""
    network.get_submodule(name).requires_grad_(False)
    for inner, module in list(network.get_submodule(name).named_modules(prefix=name)):
        if isinstance(module, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(module.num_features, eps=module.eps)
            frozen.load_state_dict(module.state_dict())
            network.set_submodule(inner, frozen)


def _resnet(name: str, channels: tuple[int, ...], norm_layer: type[nn.Module]) -> _Body:
    network = torchvision.models.get_model(name, weights=None, norm_layer=norm_layer)
    stages = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return _Body(network, stages, channels)


def _mobilenet_v2(norm_layer: type[nn.Module]) -> _Body:
    network = torchvision.models.mobilenet_v2(weights=None, norm_layer=norm_layer).features
    ends = (0, 2, 4, 7, 14, 19)  # the first block of each stage; 19 blocks in all
    stages = tuple(
        tuple(str(block) for block in range(start, end)) for start, end in pairwise(ends)
    )
    return _Body(network, stages, channels=(24, 32, 96, 1280), prefix="features.")


def _tiny(norm_layer: type[nn.Module]) -> _Body:
    network = TinyConvNet(num_classes=1, norm_layer=norm_layer)
    stages = (("conv1", "bn1"), ("layer1",), ("layer2",), ("layer3",), ("layer4",))
    return _Body(network, stages, STAGE_CHANNELS)


_BODIES: dict[str, Callable[[type[nn.Module]], _Body]] = {
    "resnet50": partial(_resnet, "resnet50", (256, 512, 1024, 2048)),
    "resnet18": partial(_resnet, "resnet18", (64, 128, 256, 512)),
    "mobilenet_v2": _mobilenet_v2,
    "tiny": _tiny,
}
_UNUSED = ("fc.", "classifier.")  # classification layers, which no detector runs


def _load(body: _Body, state_dict: Mapping[str, Tensor], settings: BackboneSettings) -> None:
    wanted = {
        name: tensor
        for name, tensor in body.network.state_dict().items()
        if not name.startswith(_UNUSED) and not name.endswith("num_batches_tracked")
    }
    given = {name.removeprefix(body.prefix): tensor for name, tensor in state_dict.items()}
    missing = sorted(wanted.keys() - given.keys())
    bad = sorted(n for n in wanted.keys() & given.keys() if wanted[n].shape != given[n].shape)
    if missing or bad:
        problem = f"lacks {missing[0]!r}" if missing else f"has another shape for {bad[0]!r}"
        raise MismatchError(
            f"the backbone weights {settings.weights} are not of a torchvision {settings.name}: "
            f"the file {problem} ({len(missing) + len(bad)} such tensors of {len(wanted)})",
            mend="Set backbone.name to the network that the weights belong to.",
        )
    body.network.load_state_dict({name: given[name] for name in wanted}, strict=False)
