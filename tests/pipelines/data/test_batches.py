"""Tests for pipelines.data.batches."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipelines.data.batches import Batch, Example, SkippedImage


def batch() -> Batch:
    """Return a batch of two images of different sizes; the second stands in for a bad one."""
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    target = {"boxes": torch.tensor([[0.0, 0.0, 4.0, 4.0]]), "labels": torch.tensor([1])}
    bad = SkippedImage("broken", "a.zip/broken.jpg: the image does not decode")
    return Batch.of(
        [Example(ramp, target, "ramp"), Example(ramp[:, :8], target, "half", skipped=(bad,))]
    )


def test_a_batch_keeps_images_of_different_sizes_apart() -> None:
    """Images, targets and ids come in the same order, and what was skipped comes with them."""
    found = batch()

    assert [list(image.shape) for image in found.images] == [[3, 16, 16], [3, 8, 16]]
    assert [len(target["labels"]) for target in found.targets] == [1, 1]
    assert found.image_ids == ["ramp", "half"]
    assert [skipped.image_id for skipped in found.skipped] == ["broken"]


def test_pixels_are_fractions() -> None:
    """Every one of the 256 values becomes the float32 nearest to its 255th part."""
    exact = (np.arange(256, dtype=np.float32) / np.float32(255)).tolist()

    moved = batch().to(torch.device("cpu"))

    assert moved.pixels[0][2].flatten().tolist() == exact
    assert moved.image_ids == ["ramp", "half"]
    assert moved.targets[0]["labels"].tolist() == [1]


@pytest.mark.parametrize(("device", "waits"), [("cpu", True), ("cuda", False)])
def test_only_a_gpu_gets_what_is_not_there_yet(
    monkeypatch: pytest.MonkeyPatch, device: str, waits: bool
) -> None:
    """A GPU keeps what it does in order; the processor would read a copy before it is done."""
    asked: list[bool] = []

    def to(tensor: Tensor, place: torch.device, *, non_blocking: bool) -> Tensor:
        asked.append(non_blocking)
        return tensor

    original: Any = batch()
    monkeypatch.setattr(Tensor, "to", to)

    original.to(torch.device(device))

    assert asked == [not waits] * 6
