"""Train a small image classifier on crops: the knowledge that the demo transfers.

Shapes: n crops, s pixels a side, G groups of attributes, C classes, d feature width.

It stands in for a classifier that a user brings, so its product is a plain state dict. Like the
image-level labels of Open Images, those of a crop name more than its finest class: a star is also
"red" and "striped". Each such group has an output layer while training, which is then dropped.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from pipelines.config import BackboneSettings
from pipelines.errors import DatasetError, RunError
from pipelines.models.tiny import STAGE_CHANNELS, TinyConvNet
from pipelines.storage import atomic_path

BATCH_SIZE = 64
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.05
ROW_WEIGHT_DECAY = 3.0  # strong: rows that must be short share directions, which is what transfers
HELD_OUT = 10  # every tenth crop, in random order, measures the accuracy

OnStep = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Crops:
    """Images of one object each, with their labels.

    Args:
        images: ``[n, s, s, 3]`` uint8, RGB.
        labels: ``[n]`` int64, the class of each crop.
        attributes: ``[n, G]`` int64, its value in each group of attributes; G may be 0.
    """

    images: Tensor
    labels: Tensor
    attributes: Tensor

    @classmethod
    def load(cls, path: Path) -> "Crops":
        """Read a safetensors file of ``images``, ``labels`` and ``attributes``.

        Raises:
            DatasetError: If the file is missing, cut short, or holds other tensors.
        """
        try:
            crops = cls(**load_file(path))
        except (FileNotFoundError, SafetensorError, TypeError) as error:
            raise DatasetError(f"not a file of crops ({error})", where=path) from error
        n = len(crops.labels)
        if n < HELD_OUT or len(crops.images) != n or len(crops.attributes) != n:
            raise DatasetError(
                f"{len(crops.images)} images, {n} labels and {len(crops.attributes)} attributes",
                where=path,
                mend=f"Expected as many of each, and {HELD_OUT} or more.",
            )
        return crops

    def __len__(self) -> int:
        return len(self.labels)

    def subset(self, indices: Tensor) -> "Crops":
        """Return the crops at ``indices``, in that order."""
        return Crops(self.images[indices], self.labels[indices], self.attributes[indices])


@dataclass(frozen=True)
class ClassifierReport:
    """What training a classifier came to.

    Args:
        top1: Share of held-out crops whose class scores highest, in [0, 1].
        top1_rare: The same over the rarer half of the classes; NaN if no such crop is held out.
        num_train: Crops trained on.
        num_held_out: Crops that measured the accuracy.
        loss: Of the last step, summed over the class and its attributes.
    """

    top1: float
    top1_rare: float
    num_train: int
    num_held_out: int
    loss: float


def train_classifier(
    crops: Path,
    num_classes: int,
    output: Path,
    *,
    seed: int = 0,
    epochs: int = 4,
    on_step: OnStep | None = None,
) -> ClassifierReport:
    """Train a :class:`TinyConvNet` on crops and write its state dict.

    On a CPU, the same crops, seed and number of threads give the same file. The process's own
    random state is left as it was.

    Args:
        crops: A file that :meth:`Crops.load` reads.
        num_classes: C; labels count from 0 to C - 1.
        output: The safetensors file to write; ``fc.weight`` is ``[C, d]``.
        seed: Decides the initial weights, the held-out crops and the order of the others.
        epochs: Passes over the crops.
        on_step: Called after each step with the step, the number of steps and the loss.

    Raises:
        DatasetError: If the crops cannot be read, or a label is not below ``num_classes``.
        RunError: If the loss stops being finite.
    """
    data = Crops.load(crops)
    if not 0 <= int(data.labels.min()) <= int(data.labels.max()) < num_classes:
        raise DatasetError(
            f"labels run from {int(data.labels.min())} to {int(data.labels.max())}",
            where=crops,
            mend=f"With {num_classes} classes they must lie in 0 to {num_classes - 1}.",
        )
    generator = Generator().manual_seed(seed)
    held_out, kept = _split(len(data), generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = TinyConvNet(num_classes)
        attribute_layers = _attribute_layers(data.attributes)
    loss = _fit(network, attribute_layers, data.subset(kept), epochs, generator, on_step)
    with atomic_path(output) as temporary:
        save_file(network.state_dict(), temporary)
    top1, top1_rare = _accuracy(network, data, held_out)
    return ClassifierReport(top1, top1_rare, len(kept), len(held_out), loss)


def normalise(images: Tensor) -> Tensor:
    """Return crops ``[n, s, s, 3]`` as the input ``[n, 3, s, s]`` that detectors use by default."""
    defaults = BackboneSettings()
    mean, std = 255 * torch.tensor([defaults.image_mean, defaults.image_std])
    pixels: Tensor = (images - mean) / std
    return pixels.permute(0, 3, 1, 2)  # channels last in memory, which is faster on a CPU


def _split(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(count, generator=generator)
    return order[: count // HELD_OUT], order[count // HELD_OUT :]


def _attribute_layers(attributes: Tensor) -> nn.ModuleList:
    """Return one output layer for each group; the largest value seen sets its width."""
    counts = attributes.amax(dim=0) + 1
    return nn.ModuleList(nn.Linear(STAGE_CHANNELS[-1], int(count)) for count in counts)


def _fit(
    network: TinyConvNet,
    attribute_layers: nn.ModuleList,
    crops: Crops,
    epochs: int,
    generator: Generator,
    on_step: OnStep | None,
) -> float:
    """Train in place; return the loss of the last step."""
    batches = -(-len(crops) // BATCH_SIZE)
    optimizer = _optimizer(network, attribute_layers)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    network.train()
    value = float("nan")
    for step, batch in enumerate(_batches(crops, epochs, generator), start=1):
        loss = _loss(network, attribute_layers, batch)
        value = loss.item()
        if not loss.isfinite():
            raise RunError(f"the classifier's loss became {value} in step {step}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, epochs * batches, value)
    return value


def _optimizer(network: TinyConvNet, attribute_layers: nn.ModuleList) -> AdamW:
    body = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    rows = [*network.fc.parameters(), *attribute_layers.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": body},
        {"params": rows, "weight_decay": ROW_WEIGHT_DECAY},
    ]
    return AdamW(groups, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)


def _batches(crops: Crops, epochs: int, generator: Generator) -> Iterator[Crops]:
    """Yield shuffled batches, each turned and perhaps mirrored as a whole."""
    for _ in range(epochs):
        for indices in torch.split(torch.randperm(len(crops), generator=generator), BATCH_SIZE):
            batch = crops.subset(indices)
            turns, mirrored = torch.randint(4, (2,), generator=generator).tolist()
            images = batch.images.rot90(turns, (1, 2))
            images = images.flip(2) if mirrored % 2 else images
            yield Crops(images, batch.labels, batch.attributes)


def _loss(network: TinyConvNet, attribute_layers: nn.ModuleList, batch: Crops) -> Tensor:
    features = network.features(normalise(batch.images))
    loss = F.cross_entropy(network.fc(features), batch.labels)
    for layer, values in zip(attribute_layers, batch.attributes.T, strict=True):
        loss = loss + F.cross_entropy(layer(features), values)
    return loss


@torch.inference_mode()
def _accuracy(network: TinyConvNet, crops: Crops, held_out: Tensor) -> tuple[float, float]:
    """Return top-1 over the held-out crops, and over those of classes with few crops."""
    network.eval()
    counts = crops.labels.bincount()
    rare = counts <= counts[counts > 0].median()
    test = crops.subset(held_out)
    scores = [network(normalise(images)) for images in torch.split(test.images, 4 * BATCH_SIZE)]
    correct = (torch.cat(scores).argmax(dim=1) == test.labels).float()
    return correct.mean().item(), correct[rare[test.labels]].mean().item()
