"""One row of a study with one seed: trained, exported and evaluated, unless that has been done."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ArtifactError, ConfigError
from pipelines.evaluate import evaluate_detector
from pipelines.export import export_head
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.storage import atomic_path
from pipelines.study.machine import describe_machine
from pipelines.study.variant_settings import variant_settings, write_inputs
from pipelines.study.variants import Variant
from pipelines.study.worlds import METRICS, NOVEL_AR50, Progress, World
from pipelines.train import train_detector
from pipelines.training.run_folder import CHECKPOINT
from pipelines.training.run_folder import METRICS as LOG

RECALL_AT = 100  # detections of an image (paper: AR50@100)
LAST_SHARE = 10_000 / 180_000  # of the iterations; the loss of section 5.2 is a mean over the last
EVALUATION_BATCH = 16  # images
HEAD, RESULT = "head.safetensors", "result.json"


@dataclass(frozen=True)
class RowResult:
    """What one training with one seed came to.

    Args:
        variant: Its name.
        seed: Of the training, and of a world that is drawn.
        metrics: Percent, by the names of ``METRICS``.
        loss_classifier: Mean over the last eighteenth of the training (paper: section 5.2).
        seconds: Of the training.
        conditions: What the figures depend on.
        machine: That evaluated it.
    """

    variant: str
    seed: int
    metrics: Mapping[str, float]
    loss_classifier: float
    seconds: float
    conditions: Mapping[str, Any]
    machine: Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A variant in a world with a seed, and where it is kept.

    Args:
        variant: What to train.
        world: What it trains on and is evaluated on.
        folder: Of this world and seed; each training and each row has a folder of its own in it.
        seed: Of the training.
    """

    variant: Variant
    world: World
    folder: Path
    seed: int

    @property
    def checkpoint(self) -> Path:
        """Of its training, made or not."""
        return self.folder / self.variant.training / CHECKPOINT

    def settings(self, device: str = "auto") -> TrainSettings:
        """Return the settings of its training."""
        return variant_settings(self.variant, self.world, self.folder, self.seed, device)

    def is_trained(self) -> bool:
        """Tell whether the checkpoint is the end of this very training."""
        settings = self.settings()
        try:
            found = DetectorCheckpoint.load(self.checkpoint)
            classifier = ClassifierWeights.load(settings.classifier)
        except ArtifactError:
            return False
        return (
            found.iteration == settings.schedule.iterations
            and _same(found.config, settings)
            and torch.equal(found.classifier.weight, classifier.weight)
        )

    def result(self) -> RowResult | None:
        """Return its result, or None if there is none under these conditions."""
        try:
            found = RowResult(**json.loads((self.folder / self.variant.name / RESULT).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        borrowing = {key: found.conditions.get(key) for key in self._borrowing()}
        same = _same(found.conditions.get("settings", {}), self.settings())
        return found if same and borrowing == self._borrowing() else None

    def conditions(self) -> dict[str, Any]:
        """Return what decides its figures, as JSON values."""
        settings = self.settings().model_dump(mode="json", exclude_none=True, exclude={"device"})
        return {"settings": settings} | self._borrowing()

    def _borrowing(self) -> dict[str, Any]:
        neighbors = self.variant.neighbors
        return {
            "neighbors": neighbors.model_dump(mode="json") if neighbors else None,
            "similarity": self.variant.similarity,
        }


def train_row(row: Row, device: str, on_progress: Progress) -> None:
    """Train the row's detector, unless that has been done."""
    if row.is_trained():
        return
    write_inputs(row.variant, row.world, row.folder)
    train_detector(
        row.settings(device),
        row.checkpoint.parent,
        lambda record: on_progress("train", record.iteration, record.iterations),
        overwrite=True,
    )


def measure_row(row: Row, device: str, on_progress: Progress) -> RowResult:
    """Export and evaluate a trained row, and keep its result."""
    seconds, loss = read_log(row)
    result = RowResult(
        variant=row.variant.name,
        seed=row.seed,
        metrics=_evaluate(row, device, on_progress),
        loss_classifier=loss,
        seconds=seconds,
        conditions=row.conditions(),
        machine=describe_machine(device),
    )
    with atomic_path(row.folder / row.variant.name / RESULT) as temporary:
        temporary.write_text(json.dumps(asdict(result), indent=1))
    return result


def read_log(row: Row) -> tuple[float, float]:
    """Return the seconds of a training and the mean classification loss of its last part."""
    lines = (row.checkpoint.parent / LOG).read_text().splitlines()
    records = [json.loads(line) for line in lines]
    settings = row.settings().schedule
    last = [0, *(record["iteration"] for record in records)]
    steps = [after - before for before, after in itertools.pairwise(last)]
    seconds = sum(
        count * settings.batch_size / record["images_per_second"]
        for count, record in zip(steps, records, strict=True)
    )
    first = settings.iterations * (1 - LAST_SHARE)
    late = [
        (count, record["losses"]["loss_classifier"])
        for count, record in zip(steps, records, strict=True)
        if record["iteration"] > first
    ]
    total = sum(count for count, _ in late)
    return seconds, sum(count * loss for count, loss in late) / total


def _same(found: Mapping[str, Any], settings: TrainSettings) -> bool:
    """Tell whether stored settings are these ones, wherever they were trained."""
    try:
        return validate_settings(dict(found) | {"device": settings.device}) == settings
    except ConfigError:  # of a version that knew other settings
        return False


def _evaluate(row: Row, device: str, on_progress: Progress) -> dict[str, float]:
    """Export the row's head and measure its metrics; one pass over each set of images."""
    variant, world = row.variant, row.world
    head = None
    if variant.settings["head.method"] != "zsd":  # whose head is no plain matrix
        head = row.folder / variant.name / HEAD
        similarity = world.similarity if variant.similarity else None
        export_head(row.checkpoint, head, neighbors=variant.neighbors, similarity=similarity)
    reports = {
        at: evaluate_detector(
            row.checkpoint,
            head,
            at.images,
            at.truth,
            scoring=Scoring(classes=at.classes, protocol=Protocol(recall_at=(RECALL_AT,))),
            device=device,
            batch_size=EVALUATION_BATCH,
            on_progress=partial(on_progress, "evaluate"),
        )
        for at in dict.fromkeys(world.evaluations.values())
    }
    return {name: _metric(name, reports[world.evaluations[name]]) for name in METRICS}


def _metric(name: str, report: EvaluateReport) -> float:
    """Return a metric in percent, over all classes that were scored."""
    everything = report.by_group()[-1]
    if name == NOVEL_AR50:
        return 100 * float(everything.recall_at[RECALL_AT].macro_strict)
    return 100 * everything.AP50
