"""What the checkpoints of a run need on its disk."""

from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from pipelines.artifacts import ClassifierWeights
from pipelines.config import TrainSettings
from pipelines.environment.checks import free_bytes
from pipelines.training.checkpoints import pairs_in
from pipelines.training.plan import DiskUse
from pipelines.training.run_folder import BEST, CHECKPOINTS
from pipelines.training.trainee import Trainee


def disk_use(
    trainee: Trainee, classifier: ClassifierWeights, settings: TrainSettings, output: Path
) -> DiskUse:
    """Reckon what the checkpoints of a run need.

    Args:
        trainee: After a step, when the optimizers have gathered all that they will.
        classifier: Its rows are in every checkpoint.
        settings: How many are kept.
        output: The run folder; the checkpoints in it give way to later ones.
    """
    checkpoint = _bytes(trainee.model.state_dict().values()) + _bytes([classifier.weight])
    state = _bytes(trainee.optimizers.state().values())
    kept = settings.checkpoints
    pairs = kept.keep_last + 1  # one more while it is written
    best = checkpoint if kept.keep_best is not None else 0
    needed = pairs * (checkpoint + state) + best
    return DiskUse(
        checkpoint_bytes=checkpoint,
        state_bytes=state,
        needed_bytes=max(0, needed - _stored_bytes(output)),
        free_bytes=free_bytes(output),
    )


def _stored_bytes(folder: Path) -> int:
    """Return what the checkpoints of a run take, a file with two names once."""
    pairs = pairs_in(folder / CHECKPOINTS)
    paths = [folder / BEST, *(path for pair in pairs for path in (pair.checkpoint, pair.state))]
    files = [path.stat() for path in paths if path.exists()]
    return sum({file.st_ino: file.st_size for file in files}.values())


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
