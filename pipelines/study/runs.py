"""Train, export and evaluate one row of a study, unless that has been done."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines.artifacts import DetectorCheckpoint
from pipelines.config import TrainSettings, validate_settings
from pipelines.errors import ArtifactError
from pipelines.evaluate import evaluate_detector
from pipelines.export import export_head
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.storage import atomic_path
from pipelines.study.variant_settings import variant_settings
from pipelines.study.variants import Variant
from pipelines.study.worlds import METRICS, NOVEL_AR50, World
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
    """

    variant: str
    seed: int
    metrics: Mapping[str, float]
    loss_classifier: float
    seconds: float
    conditions: Mapping[str, Any]


def run_variant(variant: Variant, world: World, folder: Path, seed: int, device: str) -> RowResult:
    """Return the result of a variant, taking from the folder what is there already.

    Args:
        variant: The row.
        world: What it trains on and is evaluated on.
        folder: Of this world and seed; each training and each row has a folder of its own in it.
        seed: Of the training.
        device: Of training and evaluation.
    """
    settings = variant_settings(variant, world, folder, seed, device)
    run, row = folder / variant.training, folder / variant.name
    conditions = _conditions(variant, settings)
    done = read_result(row / RESULT)
    if done is not None and done.conditions == conditions:
        return done
    if not _is_trained(run / CHECKPOINT, settings):
        train_detector(settings, run, overwrite=True)
    metrics = _evaluate(variant, world, run / CHECKPOINT, row, device)
    seconds, loss = _read_log(run / LOG, settings)
    result = RowResult(variant.name, seed, metrics, loss, seconds, conditions)
    with atomic_path(row / RESULT) as temporary:
        temporary.write_text(json.dumps(asdict(result), indent=1))
    return result


def read_result(path: Path) -> RowResult | None:
    """Return the result in a file, or None if there is none that can be read."""
    try:
        return RowResult(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _conditions(variant: Variant, settings: TrainSettings) -> dict[str, Any]:
    """Return what decides a row's figures, as JSON holds it."""
    borrowed = variant.neighbors.model_dump(mode="json") if variant.neighbors else None
    return {
        "settings": settings.model_dump(mode="json", exclude_none=True, exclude={"device"}),
        "neighbors": borrowed,
        "similarity": variant.similarity,
    }


def _is_trained(checkpoint: Path, settings: TrainSettings) -> bool:
    """Tell whether a checkpoint is the end of this very training."""
    try:
        found = DetectorCheckpoint.load(checkpoint)
    except ArtifactError:
        return False
    finished = found.iteration == settings.schedule.iterations
    return (
        finished and validate_settings(dict(found.config) | {"device": settings.device}) == settings
    )


def _evaluate(
    variant: Variant, world: World, checkpoint: Path, row: Path, device: str
) -> dict[str, float]:
    """Export the row's head and measure its metrics; one pass over each set of images."""
    row.mkdir(parents=True, exist_ok=True)
    head = None
    if variant.settings["head.method"] != "zsd":  # whose head is no plain matrix
        head = row / HEAD
        similarity = world.similarity if variant.similarity else None
        export_head(checkpoint, head, neighbors=variant.neighbors, similarity=similarity)
    reports = {
        at: evaluate_detector(
            checkpoint,
            head,
            at.images,
            at.truth,
            scoring=Scoring(classes=at.classes, protocol=Protocol(recall_at=(RECALL_AT,))),
            device=device,
            batch_size=EVALUATION_BATCH,
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


def _read_log(log: Path, settings: TrainSettings) -> tuple[float, float]:
    """Return the seconds of a training and the mean classification loss of its last part."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    last = [0, *(record["iteration"] for record in records)]
    steps = [after - before for before, after in itertools.pairwise(last)]
    batch = settings.schedule.batch_size
    seconds = sum(
        count * batch / record["images_per_second"]
        for count, record in zip(steps, records, strict=True)
    )
    first = settings.schedule.iterations * (1 - LAST_SHARE)
    late = [
        (count, record["losses"]["loss_classifier"])
        for count, record in zip(steps, records, strict=True)
        if record["iteration"] > first
    ]
    total = sum(count for count, _ in late)
    return seconds, sum(count * loss for count, loss in late) / total
