"""How active the hidden layer of a transfer network is for seen and for novel classes (Table 3).

Shapes: S seen classes, N novel classes, C = S + N, H hidden width.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from pipelines.artifacts import DetectorCheckpoint
from pipelines.data.tables import FloatArray
from pipelines.errors import ConfigError
from pipelines.models.checkpoints import restore_class_head
from pipelines.models.heads import WeightTransferHead


@dataclass(frozen=True)
class ActivationNorms:
    """The L2 norm of each class's hidden activations.

    Args:
        seen: ``[S]``.
        novel: ``[N]``, all classes of the classifier that have no boxes.
    """

    seen: FloatArray
    novel: FloatArray

    def figures(self) -> dict[str, float]:
        """Return mean and sample variance over each group, by the names in the paper's Table 3.

        ``variance_ratio`` is novel over seen. A variance of one class is NaN, and so is a ratio to
        a variance of 0.
        """
        variance_seen, variance_novel = _variance(self.seen), _variance(self.novel)
        return {
            "mean_seen": float(self.seen.mean()),
            "mean_novel": float(self.novel.mean()) if len(self.novel) else float("nan"),
            "variance_seen": variance_seen,
            "variance_novel": variance_novel,
            "variance_ratio": variance_novel / variance_seen if variance_seen else float("nan"),
        }


@torch.inference_mode()
def activation_norms(checkpoint: Path) -> ActivationNorms:
    """Measure the hidden activations of a trained transfer network, after norm and LeakyReLU.

    A BatchNorm takes the statistics that it gathered in training.

    Raises:
        ConfigError: If the method of the checkpoint has no transfer network.
        ArtifactError: If the checkpoint is bad.
    """
    trained = DetectorCheckpoint.load(checkpoint)
    head = restore_class_head(trained)
    if not isinstance(head, WeightTransferHead):
        raise ConfigError(
            f"the method {trained.config['head']['method']!r} has no hidden activations",
            where=checkpoint,
            mend="Take a checkpoint of wtn, wtn+ or ae-wtn.",
        )
    norms = torch.linalg.vector_norm(head.hidden_activations(), dim=1).double().numpy()  # [C]
    vocabulary, partition = trained.classifier.vocabulary, trained.partition
    return ActivationNorms(
        norms[vocabulary.rows(partition.seen)], norms[vocabulary.rows(partition.novel)]
    )


def _variance(norms: FloatArray) -> float:
    return float(np.var(norms, ddof=1)) if len(norms) > 1 else float("nan")
