"""Tests for pipelines.training.classifier, on crops of flat colours. All sizes differ."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.errors import ConfigError, DatasetError, RunError
from pipelines.models.tiny import STAGE_CHANNELS, TinyConvNet
from pipelines.training.classifier import Network, train_classifier

N, S, C = 600, 16, 5


def _save(path: Path, count: int = N, **changes: Tensor) -> Path:
    """Write crops whose class is their brightness, and whose attribute is its parity."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % C
    noise = torch.randint(30, (count, S, S, 3), generator=generator)
    images = (labels.view(count, 1, 1, 1) * 50 + noise).to(torch.uint8)
    crops = {"images": images, "labels": labels, "attributes": labels[:, None] % 2}
    save_file(crops | changes, path)
    return path


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Return a file of crops."""
    return _save(tmp_path / "crops.safetensors")


def test_it_learns_what_the_crops_show(crops: Path, tmp_path: Path) -> None:
    """Brightness is learned well beyond chance, and the report counts every crop once."""
    report = train_classifier(crops, C, tmp_path / "net.safetensors", epochs=6)

    assert report.top1 > 0.8
    assert report.num_train + report.num_held_out == N
    assert report.num_held_out == N // 10


def test_the_written_file_is_a_plain_classifier(crops: Path, tmp_path: Path) -> None:
    """The state dict loads strictly: classes only, without the layers of the attributes."""
    output = tmp_path / "net.safetensors"
    train_classifier(crops, C + 1, output, epochs=1)

    weights = load_file(output)

    TinyConvNet(C + 1).load_state_dict(weights, strict=True)
    assert weights["fc.weight"].shape == (C + 1, STAGE_CHANNELS[-1])


@pytest.mark.parametrize(("network", "width"), [("resnet18", 512), ("resnet50", 2048)])
def test_a_resnet_is_torchvisions(tmp_path: Path, network: Network, width: int) -> None:
    """Two steps of either train every layer and write a file that torchvision loads strictly."""
    crops = _save(tmp_path / "crops.safetensors", count=20)
    fresh = torchvision.models.get_model(network, num_classes=C)
    output = tmp_path / "net.safetensors"

    report = train_classifier(crops, C, output, network=network, epochs=1, batch_size=9)

    assert (report.num_train, report.num_held_out) == (18, 2)
    weights = load_file(output)
    fresh.load_state_dict(weights, strict=True)
    assert weights["fc.weight"].shape == (C, width)
    assert weights["bn1.num_batches_tracked"] == 2


def test_a_resnet_learns_what_the_crops_show(crops: Path, tmp_path: Path) -> None:
    """Its layers are run in their order, so that brightness is learned beyond chance."""
    output = tmp_path / "net.safetensors"

    report = train_classifier(crops, C, output, network="resnet18", epochs=2)

    assert report.top1 > 0.6


def test_a_device_that_is_not_there_is_refused(crops: Path, tmp_path: Path) -> None:
    """Before anything is trained."""
    with pytest.raises(ConfigError, match="device 'cuda:99' cannot be used"):
        train_classifier(crops, C, tmp_path / "net.safetensors", device="cuda:99")


def test_a_seed_decides_the_file_and_nothing_outside(crops: Path, tmp_path: Path) -> None:
    """Equal seeds write equal bytes, other seeds do not, and torch's own state is untouched."""
    paths = [tmp_path / f"{name}.safetensors" for name in ("first", "second", "third")]
    state = torch.random.get_rng_state()
    for path, seed in zip(paths, (1, 1, 2), strict=True):
        train_classifier(crops, C, path, seed=seed, epochs=1)
        torch.rand(1)
        torch.random.set_rng_state(state)
    first, second, third = (path.read_bytes() for path in paths)

    assert first == second
    assert first != third
    train_classifier(crops, C, paths[0], epochs=1)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_every_step_is_reported(crops: Path, tmp_path: Path) -> None:
    """The callback gets each step, their number, and the loss, which the report ends with."""
    steps: list[tuple[int, int, float]] = []

    report = train_classifier(
        crops, C, tmp_path / "net.safetensors", epochs=2, on_step=lambda *s: steps.append(s)
    )

    assert [(step, total) for step, total, _ in steps] == [(i, 18) for i in range(1, 19)]
    assert steps[-1][2] == report.loss


def test_crops_without_attributes_train_too(tmp_path: Path) -> None:
    """Attributes are a help, not a need."""
    crops = _save(tmp_path / "crops.safetensors", attributes=torch.empty(N, 0, dtype=torch.int64))

    assert train_classifier(crops, C, tmp_path / "net.safetensors", epochs=4).top1 > 0.5


def test_a_label_beyond_the_classes_is_refused(crops: Path, tmp_path: Path) -> None:
    """Too few classes for the labels is an error, and no file is written."""
    with pytest.raises(DatasetError, match="labels run from 0 to 4"):
        train_classifier(crops, C - 1, tmp_path / "net.safetensors")

    assert not (tmp_path / "net.safetensors").exists()


def test_a_loss_that_is_not_finite_stops_the_training(
    crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training stops at the first step whose loss is no number, and writes nothing."""
    monkeypatch.setattr(
        TinyConvNet, "features", lambda self, x: torch.full((len(x), 256), torch.nan)
    )

    with pytest.raises(RunError, match="the classifier's loss became nan in step 1"):
        train_classifier(crops, C, tmp_path / "net.safetensors")

    assert not (tmp_path / "net.safetensors").exists()
