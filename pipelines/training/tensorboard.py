"""A run in TensorBoard: losses, learning rates, speed and evaluations over the iterations.

Needs tensorboard, the extra of that name.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.training.observer import Observer
from pipelines.training.records import StepRecord, Timing

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoardObserver(Observer):
    """Writes every figure into ``tensorboard/`` of the run folder, as soon as it is there.

    A run that goes on writes on: what it recorded after its checkpoint, before it was stopped, is
    not shown beside what takes its place.

    Raises:
        ConfigError: If the extra is not installed.
    """

    def __init__(self) -> None:
        _require_tensorboard()
        self._writer: SummaryWriter | None = None

    def begun(self, folder: Path, iteration: int) -> None:
        """Open a file of events; TensorBoard drops all earlier ones after ``iteration``."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / FOLDER), purge_step=iteration + 1)

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        """Write ``losses/``, ``learning_rates/`` and ``speed/``."""
        speed = {
            "images_per_second": timing.images_per_second,
            "data_wait": timing.data_wait,
            "memory_gigabytes": timing.memory_bytes / 1e9,
        }
        groups = {"losses": record.losses, "learning_rates": record.learning_rates, "speed": speed}
        for group, figures in groups.items():
            self._write(group, figures, record.iteration)

    def evaluated(self, iteration: int, metrics: Mapping[str, float]) -> None:
        """Write ``evaluation/``."""
        self._write("evaluation", metrics, iteration)

    def _write(self, group: str, figures: Mapping[str, float], iteration: int) -> None:
        assert self._writer is not None  # nothing is recorded before a run has begun
        for name, value in figures.items():
            self._writer.add_scalar(f"{group}/{name}", value, iteration)
        self._writer.flush()  # a run may be killed at any time


def _require_tensorboard() -> None:
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            "--tensorboard needs tensorboard, the extra of that name",
            mend="Install it: pip install tensorboard",
        ) from error
