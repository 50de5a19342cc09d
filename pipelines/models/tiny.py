"""A classifier small enough to train in a minute on a CPU, laid out like torchvision's ResNet.

Shapes: B images, C classes, H, W pixels, d feature width.

The stages are attributes of the network itself, so torchvision's ``BackboneWithFPN`` takes them by
name, and a classifier's state dict without ``fc`` is that of the detector's body.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

STEM_CHANNELS = 32
STAGE_CHANNELS = (32, 64, 128, 256)


class ResidualStage(nn.Module):
    """Two 3x3 convolutions with a shortcut; halves height and width.

    Args:
        in_channels: Of the input.
        out_channels: Of the output.
        norm_layer: Makes a normalisation from a number of channels.
    """

    def __init__(
        self, in_channels: int, out_channels: int, norm_layer: Callable[..., nn.Module]
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm_layer(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = norm_layer(out_channels)
        self.downsample = nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``[B, out_channels, H / 2, W / 2]``, rounded up."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.downsample(x))


class TinyConvNet(nn.Module):
    """A convolutional classifier; layer1 to layer4 have strides 4, 8, 16 and 32.

    Their widths are ``STAGE_CHANNELS``; the last of them is d.

    Args:
        num_classes: C.
        norm_layer: Makes a normalisation from a number of channels; a detector passes
            ``torchvision.ops.FrozenBatchNorm2d``.
    """

    def __init__(
        self, num_classes: int, norm_layer: Callable[..., nn.Module] = nn.BatchNorm2d
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2, padding=1, bias=False)
        self.bn1 = norm_layer(STEM_CHANNELS)
        self.relu = nn.ReLU()  # a module: torchvision's FPN runs only the child modules of a body
        first, second, third, fourth = STAGE_CHANNELS
        self.layer1 = ResidualStage(STEM_CHANNELS, first, norm_layer)
        self.layer2 = ResidualStage(first, second, norm_layer)
        self.layer3 = ResidualStage(second, third, norm_layer)
        self.layer4 = ResidualStage(third, fourth, norm_layer)
        self.fc = nn.Linear(fourth, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[B, C]`` of normalised images ``[B, 3, H, W]``."""
        logits: Tensor = self.fc(self.features(images))
        return logits

    def features(self, images: Tensor) -> Tensor:
        """Return what ``fc`` acts on, ``[B, d]``: the last stage, averaged over the image."""
        x = self.relu(self.bn1(self.conv1(images)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        pooled: Tensor = x.mean(dim=(2, 3))
        return pooled
