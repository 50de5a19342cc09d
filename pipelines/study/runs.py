"""One row of a study with one seed: trained, exported and evaluated, unless that has been done."""

import json
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.artifacts import DetectorCheckpoint
from pipelines.config import TrainSettings
from pipelines.config.comparison import first_of
from pipelines.errors import ArtifactError, ConfigError, Interrupted
from pipelines.evaluate import evaluate_detector
from pipelines.export import export_head
from pipelines.metrics.evaluation import Protocol
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.scorer import Scoring
from pipelines.study import freshness
from pipelines.study.machine import describe_machine
from pipelines.study.records import (
    RESULT_REVISION,
    TRAINING_REVISION,
    RowResult,
    TrainingLog,
    TrainingRecord,
    read_log,
    read_result,
    write_json,
)
from pipelines.study.variant_settings import classifier_of, variant_settings, write_inputs
from pipelines.study.variants import Variant
from pipelines.study.worlds import METRICS, NOVEL_AR50, EvaluationSet, Progress, World
from pipelines.train import train_detector
from pipelines.training.observer import Observer
from pipelines.training.records import StepRecord, Timing
from pipelines.training.run_folder import CHECKPOINT, TIMINGS
from pipelines.training.run_folder import METRICS as LOG

RECALL_AT = 100  # detections of an image (paper: AR50@100)
EVALUATION_BATCH = 16  # images
HEAD, RESULT, TRAINING = "head.safetensors", "result.json", "training.json"


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

    @property
    def has_head_file(self) -> bool:
        """Whether its head is a plain matrix, which can be a file of its own."""
        return bool(self.variant.settings["head.method"] != "zsd")

    def settings(self, device: str = "auto") -> TrainSettings:
        """Return the settings of its training."""
        return variant_settings(self.variant, self.world, self.folder, self.seed, device)

    def training_record(self) -> TrainingRecord:
        """Return how it was trained."""
        try:
            return TrainingRecord(**json.loads((self.checkpoint.parent / TRAINING).read_text()))
        except (OSError, ValueError, TypeError):
            return TrainingRecord()

    def log(self) -> TrainingLog:
        """Return the course of its training, as far as it is known; it must have ended."""
        folder = self.checkpoint.parent
        return read_log(folder / LOG, folder / TIMINGS, self.settings().schedule)

    def is_trained(self) -> bool:
        """Tell whether the checkpoint is the end of this very training, on these very files."""
        try:
            found = DetectorCheckpoint.load(self.checkpoint)
            return (
                found.iteration == self.settings().schedule.iterations
                and self.training_record().revision == TRAINING_REVISION
                and not self.differences(found)
            )
        except (ArtifactError, OSError):
            return False

    def differences(self, found: DetectorCheckpoint) -> list[str]:
        """Return what sets a training apart from this one, in words: settings, or else files.

        Raises:
            ArtifactError: If the classifier's file is lost or bad.
            OSError: If another file cannot be read.
        """
        settings = self.settings()
        return freshness.other_settings(found.config, settings) or freshness.other_inputs(
            found, settings, classifier_of(self.variant, self.world)
        )

    def result(self) -> RowResult | None:
        """Return its result, or None if there is none under these conditions."""
        found = read_result(self.folder / self.variant.name / RESULT)
        if found is None or not self.is_trained():
            return None
        try:
            now = self.conditions()
        except OSError:
            return None
        # The settings are a record alone: they are the checkpoint's, which is in the files.
        return found if {**found.conditions, "settings": now["settings"]} == now else None

    def conditions(self) -> dict[str, Any]:
        """Return what decides its figures, as JSON values; the checkpoint must be there."""
        settings = self.settings().model_dump(mode="json", exclude_none=True, exclude={"device"})
        files = {"checkpoint": freshness.sha256(self.checkpoint), **self._evaluation_files()}
        return {
            "settings": settings,
            **self._borrowing(),
            **self._metrics(),
            "revision": RESULT_REVISION,
            "files": files,
        }

    def _evaluation_files(self) -> dict[str, list[str]]:
        """Return the contents of the files that are read besides the checkpoint, by their use."""
        files = {
            name: freshness.files_sha256((*at.truth.paths, *at.images, *at.class_files))
            for name, at in self.world.evaluations.items()
        }
        if self.variant.similarity and self.world.similarity is not None:
            files["similarity"] = freshness.files_sha256([self.world.similarity])
        return files

    def _metrics(self) -> dict[str, Any]:
        """Return what judges the detections, where it is not the challenge's metric."""
        evaluations = self.world.evaluations.items()
        others = {name: at.metric for name, at in evaluations if at.metric != "oid"}
        return {"metrics": others} if others else {}

    def _borrowing(self) -> dict[str, Any]:
        neighbors = self.variant.neighbors
        return {
            "neighbors": neighbors.model_dump(mode="json") if neighbors else None,
            "similarity": self.variant.similarity,
        }


def train_row(row: Row, device: str, on_progress: Progress) -> None:
    """Train the row's detector, unless that has been done.

    The record comes with the first step, when what an earlier version trained is set aside and
    cannot pass for this one's; so a stop right after the last checkpoint loses nothing.

    Raises:
        ConfigError: If its folder holds a finished training of another kind.
    """
    if row.is_trained():
        return
    refuse_to_lose(row)
    folder = row.checkpoint.parent
    write_inputs(row.variant, row.world, row.folder)

    follower = _Follower(device, on_progress)
    report = train_detector(row.settings(device), folder, [follower], overwrite=True)
    if report.asked_to_stop:
        raise Interrupted("stopped", where=folder)


@dataclass(frozen=True)
class _Follower(Observer):
    """Writes the record of a training with its first step, and tells of its progress."""

    device: str
    on_progress: Progress

    def begun(self, folder: Path, iteration: int) -> None:
        record = TrainingRecord(TRAINING_REVISION, describe_machine(self.device))
        write_json(folder / TRAINING, asdict(record))

    def recorded(self, record: StepRecord, timing: Timing) -> None:
        self.on_progress("train", record.iteration, record.iterations)


def refuse_to_lose(row: Row) -> None:
    """Refuse to replace hours of work: a finished training that is not the row's.

    What an earlier version trained is replaced; what nobody recorded may be the user's own.

    Raises:
        ConfigError: If its folder holds one; it tells the first differences.
        ArtifactError, OSError: If it holds one, and a file of the row cannot be read.
    """
    try:
        found = DetectorCheckpoint.load(row.checkpoint)
    except ArtifactError:
        return
    if found.iteration < found.config["schedule"]["iterations"]:
        return
    revision = row.training_record().revision
    if 0 < revision < TRAINING_REVISION:
        return
    others = row.differences(found)
    unknown = "a later version trained" if revision else "no study recorded"
    raise ConfigError(
        f"the folder holds another finished training: {first_of(others)}"
        if others
        else f"the folder holds a finished training that {unknown}",
        where=row.checkpoint.parent,
        mend="Name another folder with --output to keep both, or delete this one.",
    )


def measure_row(row: Row, device: str, on_progress: Progress) -> RowResult:
    """Export and evaluate a trained row, and keep its result."""
    log = row.log()
    result = RowResult(
        variant=row.variant.name,
        seed=row.seed,
        metrics=_evaluate(row, device, on_progress),
        loss_classifier=log.loss_classifier,
        seconds=log.seconds,
        conditions=row.conditions(),
        machine=describe_machine(device),
    )
    write_json(row.folder / row.variant.name / RESULT, asdict(result))
    return result


def _evaluate(row: Row, device: str, on_progress: Progress) -> dict[str, float]:
    """Export the row's head and measure its metrics; one pass over each set of images."""
    variant, world = row.variant, row.world
    head = None
    if row.has_head_file:
        head = row.folder / variant.name / HEAD
        similarity = world.similarity if variant.similarity else None
        export_head(row.checkpoint, head, neighbors=variant.neighbors, similarity=similarity)
    firsts: dict[EvaluationSet, str] = {}  # of the metrics that are measured on each
    for name, at in world.evaluations.items():
        firsts.setdefault(at, name)
    reports = {
        at: evaluate_detector(
            row.checkpoint,
            head,
            at.images,
            at.truth,
            scoring=Scoring(at.metric, at.classes, protocol=Protocol(recall_at=(RECALL_AT,))),
            device=device,
            batch_size=EVALUATION_BATCH,
            on_progress=partial(on_progress, f"evaluate {variant.name} for {first}"),
        )
        for at, first in firsts.items()
    }
    return {name: _metric(name, reports[world.evaluations[name]]) for name in METRICS}


def _metric(name: str, report: EvaluateReport) -> float:
    """Return a metric in percent, over all classes that were scored.

    The official release's recall is a mean over those of them that were detected.
    """
    everything = report.by_group()[-1]
    if name != NOVEL_AR50:
        return 100 * everything.AP50
    recall = everything.recall_at[RECALL_AT]
    released = report.conditions.metric == "aewtn-release"
    return 100 * (recall.macro_released if released else recall.macro_strict)
