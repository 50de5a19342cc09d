"""Train an image classifier on crops: the knowledge that a drawn world transfers.

Shapes: n crops, s pixels a side, G groups of attributes, C classes, d feature width.

It stands in for a classifier that a user brings, so its product is a plain state dict. Like the
image-level labels of Open Images, those of a crop name more than its finest class: a star is also
"red" and "striped". Each such group has an output layer while training, which is then dropped.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from safetensors.torch import save_file
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from pipelines.devices import resolve_device
from pipelines.errors import DatasetError, RunError
from pipelines.models.tiny import TinyConvNet
from pipelines.storage import atomic_path
from pipelines.training.crops import HELD_OUT, Crops, normalise

Network = Literal["tiny", "resnet18", "resnet50"]

BATCH_SIZE = 64
LEARNING_RATES: dict[Network, float] = {"tiny": 3e-3, "resnet18": 1e-3, "resnet50": 1e-3}
WEIGHT_DECAY = 0.05
ROW_WEIGHT_DECAY = 3.0  # strong: rows that must be short share directions, which is what transfers

OnStep = Callable[[int, int, float], None]


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
    network: Network = "tiny",
    device: str = "cpu",
    seed: int = 0,
    epochs: int = 4,
    batch_size: int = BATCH_SIZE,
    on_step: OnStep | None = None,
) -> ClassifierReport:
    """Train a network on crops, from scratch, and write its state dict.

    On a CPU, the same crops, seed and number of threads give the same file. The process's own
    random state is left as it was.

    Args:
        crops: A file that :meth:`Crops.load` reads.
        num_classes: C; labels count from 0 to C - 1.
        output: The safetensors file to write; ``fc.weight`` is ``[C, d]``.
        network: :class:`TinyConvNet`, or one of torchvision's.
        device: ``auto``, ``cpu``, ``cuda``, ...
        seed: Decides the initial weights, the held-out crops and the order of the others.
        epochs: Passes over the crops.
        batch_size: Crops a step.
        on_step: Called after each step with the step, the number of steps and the loss.

    Raises:
        ConfigError: If there is no such device here.
        DatasetError: If the crops cannot be read, or a label is not below ``num_classes``.
        RunError: If the loss stops being finite.
    """
    data, target = Crops.load(crops), resolve_device(device)
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
        classifier = _Classifier(network, num_classes, data.attributes)
    batches = _batches(data, kept, batch_size, epochs, generator)
    steps = epochs * -(-len(kept) // batch_size)
    rate = LEARNING_RATES[network]
    loss = _fit(classifier.to(target), batches, steps, rate, on_step)
    with atomic_path(output) as temporary:
        save_file(classifier.network.state_dict(), temporary)
    top1, top1_rare = _accuracy(classifier, data, held_out)
    return ClassifierReport(top1, top1_rare, len(kept), len(held_out), loss)


def _split(count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(count, generator=generator)
    return order[: count // HELD_OUT], order[count // HELD_OUT :]


class _Classifier(nn.Module):
    """A network, and an output layer for each group of attributes that acts on its features.

    Args:
        name: Of the network.
        num_classes: C.
        attributes: ``[n, G]``; the largest value seen sets the width of a group's layer.
    """

    def __init__(self, name: Network, num_classes: int, attributes: Tensor) -> None:
        super().__init__()
        self.network: nn.Module
        if name == "tiny":
            self.network = TinyConvNet(num_classes)
        else:
            self.network = torchvision.models.get_model(name, num_classes=num_classes)
        width: int = self.network.get_parameter("fc.weight").shape[1]
        counts = attributes.amax(dim=0) + 1
        self.attribute_layers = nn.ModuleList(nn.Linear(width, int(count)) for count in counts)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits ``[n, C]`` of crops ``[n, s, s, 3]``, and those of each attribute."""
        features = self._features(normalise(images))
        logits: Tensor = self.network.get_submodule("fc")(features)
        return logits, [layer(features) for layer in self.attribute_layers]

    def _features(self, x: Tensor) -> Tensor:
        """Return what ``fc`` acts on, ``[n, d]``."""
        if isinstance(self.network, TinyConvNet):
            return self.network.features(x)
        *layers, _ = self.network.children()
        for layer in layers:
            x = layer(x)
        return x.flatten(1)


def _fit(
    classifier: _Classifier,
    batches: Iterable[Crops],
    steps: int,
    learning_rate: float,
    on_step: OnStep | None,
) -> float:
    """Train in place; return the loss of the last step."""
    optimizer = _optimizer(classifier, learning_rate)
    schedule = OneCycleLR(optimizer, learning_rate, total_steps=steps)
    classifier.train()
    value = float("nan")
    for step, batch in enumerate(batches, start=1):
        loss = _loss(classifier, batch)
        value = loss.item()
        if not loss.isfinite():
            raise RunError(f"the classifier's loss became {value} in step {step}")
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if on_step is not None:
            on_step(step, steps, value)
    return value


def _optimizer(classifier: _Classifier, learning_rate: float) -> AdamW:
    network, layers = classifier.network, classifier.attribute_layers
    body = [p for name, p in network.named_parameters() if not name.startswith("fc.")]
    rows = [*network.get_submodule("fc").parameters(), *layers.parameters()]
    groups: list[dict[str, Any]] = [
        {"params": body},
        {"params": rows, "weight_decay": ROW_WEIGHT_DECAY},
    ]
    return AdamW(groups, lr=learning_rate, weight_decay=WEIGHT_DECAY)


def _batches(
    crops: Crops, kept: Tensor, batch_size: int, epochs: int, generator: Generator
) -> Iterator[Crops]:
    """Yield shuffled batches of the ``kept`` crops, each turned and perhaps mirrored as a whole."""
    for _ in range(epochs):
        order = torch.randperm(len(kept), generator=generator)
        for indices in torch.split(order, batch_size):
            batch = crops.subset(kept[indices])
            turns, mirrored = torch.randint(4, (2,), generator=generator).tolist()
            images = batch.images.rot90(turns, (1, 2))
            images = images.flip(2) if mirrored % 2 else images
            yield Crops(images, batch.labels, batch.attributes)


def _device_of(classifier: _Classifier) -> torch.device:
    return next(classifier.parameters()).device


def _loss(classifier: _Classifier, batch: Crops) -> Tensor:
    """Sum the cross entropies of the class and of its attributes."""
    device = _device_of(classifier)
    logits, of_attributes = classifier(batch.images.to(device))
    loss = F.cross_entropy(logits, batch.labels.to(device))
    for scores, values in zip(of_attributes, batch.attributes.to(device).T, strict=True):
        loss = loss + F.cross_entropy(scores, values)
    return loss


@torch.inference_mode()
def _accuracy(classifier: _Classifier, crops: Crops, held_out: Tensor) -> tuple[float, float]:
    """Return top-1 over the held-out crops, and over those of classes with few crops."""
    classifier.eval()
    device = _device_of(classifier)
    counts = crops.labels.bincount()
    rare = counts <= counts[counts > 0].median()
    test = crops.subset(held_out)
    found = [
        classifier(images.to(device))[0].argmax(dim=1).cpu()
        for images in torch.split(test.images, 4 * BATCH_SIZE)
    ]
    correct = (torch.cat(found) == test.labels).float()
    return correct.mean().item(), correct[rare[test.labels]].mean().item()
