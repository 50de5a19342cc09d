"""Tests for pipelines.training.loop."""

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from pipelines.config import OptimizerSettings, ScheduleSettings
from pipelines.data.batches import Batch, Example, Target
from pipelines.errors import RunError
from pipelines.training.loop import StepRecord, run_training
from pipelines.training.optimizers import Optimizers


class Model(nn.Module):
    """Pulls its weight towards the mean of the images; the second loss may blow up."""

    def __init__(self, bad_at: int | None = None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.bad_at, self.calls = bad_at, 0

    def forward(self, images: list[Tensor], targets: list[Target]) -> dict[str, Tensor]:
        """Return one loss that trains and one that may become NaN."""
        self.calls += 1
        factor = float("nan") if self.calls == self.bad_at else 1.0
        mean = torch.stack([image.mean() for image in images]).mean()
        return {
            "loss_a": (self.weight - mean).square().sum(),
            "loss_b": factor * self.weight.sum() * 0,
        }


def steps(model: Model, images: int, log_every: int) -> list[tuple[int, StepRecord | None]]:
    """Train on white images, two at a time."""
    white = torch.full((3, 2, 2), 255, dtype=torch.uint8)
    data = [Example(white, {"labels": torch.tensor([1])}, "white")] * images
    loader: DataLoader[Example] = DataLoader(data, batch_size=2, collate_fn=Batch.of)
    schedule = ScheduleSettings(warmup_iterations=0)
    optimizers = Optimizers(model, OptimizerSettings(weight_decay=0, momentum=0), schedule)
    return list(run_training(model, loader, optimizers, torch.device("cpu"), log_every))


def test_records_average_over_their_window() -> None:
    """A record comes first, last and in between, with the mean of each loss since the last."""
    found = steps(Model(), images=10, log_every=3)

    records = [record for _, record in found if record is not None]
    assert [taken for taken, _ in found] == [1, 2, 3, 4, 5]
    assert [record.iteration for record in records] == [1, 3, 5]
    assert records[0].losses["loss_a"] == pytest.approx(1)
    distances = [0.98**step for step in range(3)]  # a step of rate 0.01 goes 2 % of the way
    window = (distances[1] ** 2 + distances[2] ** 2) / 2
    assert records[1].losses["loss_a"] == pytest.approx(window)
    assert records[1].losses["loss"] == pytest.approx(window)
    assert records[-1].seconds_left == 0
    assert records[0].images_per_second > 0


def test_a_loss_that_is_not_finite_stops_before_the_step() -> None:
    """The loss and the iteration are named, and the weights are still those of the step before."""
    model = Model(bad_at=3)

    with pytest.raises(RunError, match=r"loss_b and loss is not finite at iteration 3"):
        steps(model, images=10, log_every=1)

    assert model.weight.item() == pytest.approx(1 - 0.98**2)
