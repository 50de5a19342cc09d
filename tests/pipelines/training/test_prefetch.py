"""Tests for pipelines.training.prefetch."""

from collections.abc import Iterator

import pytest
import torch

from pipelines.data.batches import Batch, Example
from pipelines.training.prefetch import CudaTransfer, on_device, one_ahead


def batch(number: int) -> Batch:
    """Return a batch of one image that is full of its number."""
    image = torch.full((3, 2, 2), number, dtype=torch.uint8)
    return Batch.of([Example(image, {"labels": torch.tensor([number])}, str(number))])


def names(batches: Iterator[Batch]) -> list[str]:
    """Return the ids of the images."""
    return [image_id for found in batches for image_id in found.image_ids]


class Diary:
    """A transfer that writes down what it is asked."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, batch: Batch) -> Batch:
        """Note that a batch sets out."""
        self.lines.append(f"start {batch.image_ids[0]}")
        return batch

    def arrived(self, ticket: Batch) -> Batch:
        """Note that a batch is used."""
        self.lines.append(f"use {ticket.image_ids[0]}")
        return ticket


def test_the_next_batch_is_on_its_way_before_one_is_used() -> None:
    """Every batch comes once and in order, whatever their number."""
    diary = Diary()

    assert names(one_ahead(map(batch, range(3)), diary)) == ["0", "1", "2"]
    assert diary.lines == ["start 0", "start 1", "use 0", "start 2", "use 1", "use 2"]
    assert names(one_ahead([batch(7)], Diary())) == ["7"]
    assert names(one_ahead([], Diary())) == []


def test_on_a_cpu_nothing_is_read_ahead() -> None:
    """A batch is asked for when its step begins, and comes as it is."""
    asked = []
    source = (asked.append(number) or batch(number) for number in range(3))

    batches = on_device(source, torch.device("cpu"))
    first = next(batches)

    assert asked == [0]
    assert first.image_ids == ["0"]
    assert names(batches) == ["1", "2"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gets_the_same_batches() -> None:
    """Images and targets arrive unchanged from pinned memory, over a stream of their own."""
    device = torch.device("cuda")
    pinned = [torch.utils.data._utils.pin_memory.pin_memory(batch(n)) for n in range(20)]

    found = list(one_ahead(pinned, CudaTransfer(device)))

    assert all(copy.images[0].is_cuda for copy in found)
    assert [int(copy.images[0].sum()) for copy in found] == [12 * n for n in range(20)]
    assert [int(copy.targets[0]["labels"]) for copy in found] == list(range(20))
