"""What a training shows while it runs."""

from collections.abc import Iterator, Mapping

from pipelines.config import TrainSettings
from pipelines.data.batches import SkippedImage
from pipelines.training.closing import FolderCompletion
from pipelines.training.observer import Observer
from pipelines.training.plan import DiskUse
from pipelines.training.records import StepRecord, Timing
from pipelines.training.tensorboard import TensorBoardObserver
from wtn_cli import console
from wtn_cli.dry_runs import note_if_full


def observers(
    bar: console.ProgressLine, settings: TrainSettings, *, tensorboard: bool
) -> list[Observer]:
    """Return all who hear of a training on the command line.

    Args:
        bar: Where its records are shown.
        settings: Of the training.
        tensorboard: Whether TensorBoard is one of them.

    Raises:
        ConfigError: If it is not installed.
    """
    also = [TensorBoardObserver()] if tensorboard else []
    return [TrainingProgress(bar), FolderCompletion(settings, console.note), *also]


class TrainingProgress(Observer):
    """Shows each record below a bar, or as a plain line, and each evaluation as a line.

    Args:
        bar: Where records are shown.
    """

    def __init__(self, bar: console.ProgressLine) -> None:
        self._bar = bar

    def reckoned(self, disk: DiskUse) -> None:
        """Tell, while there is time, that the checkpoints will not fit."""
        note_if_full(disk)

    def skipped(self, image: SkippedImage) -> None:
        """Name an image that does not decode."""
        console.note(f"Skipped: {image.why}")

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        """Show every loss, the rates, the speed, the memory and the time left."""
        self._bar.update(
            record.iteration,
            record.iterations,
            tuple(_parts(record, timing)),
            seconds_left=timing.seconds_left,
            every=True,
        )

    def evaluated(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Show all figures in percent."""
        figures = (f"{n.replace('_', ' ')} {console.percent(v)}" for n, v in metrics.items())
        console.note(f"evaluated after {iteration}: {', '.join(figures)}")


def _parts(record: StepRecord, timing: Timing) -> Iterator[str]:
    total_first = sorted(record.losses.items(), key=lambda item: item[0] != "loss")
    yield from (f"{name.removeprefix('loss_')} {value:.4f}" for name, value in total_first)
    yield from (f"{name} {rate:.2e}" for name, rate in record.learning_rates.items())
    yield f"{timing.images_per_second:.1f} images/s"
    yield f"data wait {100 * timing.data_wait:.0f} %"
    yield f"memory {console.gigabytes(timing.memory_bytes)}"
    if record.skipped:
        yield f"steps left out {record.skipped}"
    if record.skipped_images:
        yield f"images left out {record.skipped_images}"
