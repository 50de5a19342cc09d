"""What a training starts from, as its checkpoints remember it."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings
from pipelines.provenance import Provenance
from pipelines.vocabulary import Vocabulary


class Origin(NamedTuple):
    """What stands in every checkpoint of a run besides its weights.

    Args:
        classifier: What the detector learns from.
        detection: The D classes.
        provenance: What the training reads.
    """

    classifier: ClassifierWeights
    detection: Vocabulary
    provenance: Provenance

    def checkpoint(
        self, weights: Mapping[str, Tensor], iteration: int, settings: TrainSettings
    ) -> DetectorCheckpoint:
        """Return the checkpoint of a detector with these weights, after so many iterations."""
        config = settings.model_dump(mode="json", exclude_none=True)
        return DetectorCheckpoint(
            weights, self.classifier, self.detection, config, iteration, self.provenance
        )
