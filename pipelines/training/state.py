"""What a training goes on from, beside the checkpoint of its weights: a file of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

from torch import Tensor

from pipelines.errors import ArtifactError
from pipelines.provenance import provenance_of, tensors_sha256
from pipelines.storage import read_artifact, write_artifact
from pipelines.training.progress import Progress


@dataclass(frozen=True)
class TrainingState:
    """The state of a training between two steps.

    Args:
        optimizers: What they gathered, as :meth:`Optimizers.state` names it.
        random: States of the random number generators, by device.
        step: What the step keeps, such as the scale of its losses in float16.
        progress: How far it has come.
        checkpoint_sha256: Of the checkpoint that holds the weights.
    """

    FORMAT: ClassVar[str] = "wtn.training-state"
    HEADER: ClassVar[tuple[str, ...]] = ("step", "progress", "checkpoint_sha256", "tensors_sha256")
    MADE_BY: ClassVar[str] = "wtn train"

    optimizers: Mapping[str, Tensor]
    random: Mapping[str, Tensor]
    step: Mapping[str, float]
    progress: Progress
    checkpoint_sha256: str

    def save(self, path: Path) -> None:
        """Write the artifact atomically."""
        tensors = {f"optimizer.{name}": tensor for name, tensor in self.optimizers.items()}
        tensors |= {f"random.{name}": tensor for name, tensor in self.random.items()}
        header = {
            "step": dict(self.step),
            "progress": self.progress.as_json(),
            "checkpoint_sha256": self.checkpoint_sha256,
            "tensors_sha256": tensors_sha256(tensors),
        }
        write_artifact(path, self.FORMAT, tensors, header, provenance_of())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check the artifact.

        Raises:
            ArtifactError: If it is missing, cut short, changed, or of another format.
        """
        tensors, header, _ = read_artifact(path, cls.FORMAT, cls.HEADER, cls.MADE_BY)
        if tensors_sha256(tensors) != header["tensors_sha256"]:
            raise ArtifactError("its tensors are not those that were written", where=path)
        try:
            progress = Progress.from_json(header["progress"])
        except (KeyError, TypeError) as error:
            raise ArtifactError(f"its progress cannot be read ({error})", where=path) from error
        return cls(
            _of("optimizer.", tensors),
            _of("random.", tensors),
            header["step"],
            progress,
            str(header["checkpoint_sha256"]),
        )


def _of(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
