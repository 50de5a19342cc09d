"""What a training run writes: its settings, its metrics, and the checkpoint."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from torch import Tensor

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings
from pipelines.provenance import Provenance
from pipelines.training.loop import StepRecord
from pipelines.vocabulary import Vocabulary

CHECKPOINT = "checkpoint.safetensors"
PREVIOUS = "previous-checkpoint.safetensors"
METRICS = "metrics.jsonl"


class RunFolder:
    """The folder of one run: ``settings.toml``, ``metrics.jsonl`` and the checkpoint.

    Args:
        folder: Made when the run starts.
        settings: The resolved settings.
        classifier: What the detector learns from.
        detection: The D classes.
        provenance: Of the checkpoints.
    """

    def __init__(
        self,
        folder: Path,
        settings: TrainSettings,
        classifier: ClassifierWeights,
        detection: Vocabulary,
        provenance: Provenance,
    ) -> None:
        self._classifier, self._detection, self._provenance = classifier, detection, provenance
        self._config = settings.model_dump(mode="json", exclude_none=True)
        self._metrics = folder / METRICS
        self.checkpoint = folder / CHECKPOINT
        self._folder, self._settings = folder, settings

    def start(self) -> None:
        """Begin the run's files; the checkpoint of a run before it is set aside."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.checkpoint.replace(self._folder / PREVIOUS)
        (self._folder / "settings.toml").write_text(self._settings.as_toml())
        self._metrics.write_text("")

    def log(self, record: StepRecord) -> None:
        """Append a record to the metrics, one JSON object a line."""
        with self._metrics.open("a") as file:
            file.write(json.dumps(asdict(record)) + "\n")

    def save(self, model: Mapping[str, Tensor], iteration: int) -> None:
        """Replace the checkpoint as a whole."""
        DetectorCheckpoint(
            model, self._classifier, self._detection, self._config, iteration, self._provenance
        ).save(self.checkpoint)
