"""How long the export of every class takes, from checkpoint file to head file."""

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import HeadSettings, TrainSettings, validate_settings
from pipelines.export import export_head
from pipelines.models.checkpoints import class_row_source
from pipelines.models.heads import build_head
from pipelines.models.state_names import BOX_LAYER, CLASS_HEAD
from pipelines.vocabulary import Vocabulary

SEEN = 486  # of the paper's 500 detection classes, those that its classifier knows


@dataclass(frozen=True)
class ExportBenchmark:
    """How long the export of every class takes, from file to file.

    Args:
        classes: C.
        width: d and R.
        threads: Of the CPU.
        seconds: Of each run.
        median_seconds: Of the runs.
        limit_seconds: What it promises to stay under.
        within_limit: Whether it does.
    """

    classes: int
    width: int
    threads: int
    seconds: tuple[float, ...]
    median_seconds: float
    limit_seconds: float
    within_limit: bool


def benchmark_export(
    *, classes: int = 5000, width: int = 2048, runs: int = 5, limit_seconds: float = 2.0
) -> ExportBenchmark:
    """Time ``export_head`` on an AE-WTN checkpoint of the paper's size, after one warm-up.

    Reading the checkpoint, hashing it, transferring all rows and writing the head all count.
    """
    with tempfile.TemporaryDirectory() as folder:
        checkpoint, head = (
            Path(folder) / "checkpoint.safetensors",
            Path(folder) / "head.safetensors",
        )
        _random_checkpoint(classes, width).save(checkpoint)
        seconds = [_time_export(checkpoint, head) for _ in range(runs + 1)][1:]
    median = statistics.median(seconds)
    return ExportBenchmark(
        classes,
        width,
        torch.get_num_threads(),
        tuple(seconds),
        median,
        limit_seconds,
        within_limit=median <= limit_seconds,
    )


def _time_export(checkpoint: Path, head: Path) -> float:
    started = time.perf_counter()
    export_head(checkpoint, head)
    return time.perf_counter() - started


def _random_checkpoint(classes: int, width: int) -> DetectorCheckpoint:
    """Return a checkpoint with the class head and box layer of an untrained AE-WTN detector."""
    generator = torch.Generator().manual_seed(0)
    ids = tuple(f"class-{row}" for row in range(classes))
    vocabulary = Vocabulary(ids, ids)
    rows = ClassifierWeights(
        torch.randn(classes, width, generator=generator), None, vocabulary, "rows:random"
    )
    detection = vocabulary.subset(range(min(SEEN, classes)))
    settings = _settings(width)
    head = build_head(settings.head, class_row_source(rows.weight, vocabulary, detection), width)
    model = {f"{CLASS_HEAD}{name}": tensor for name, tensor in head.state_dict().items()}
    model |= {f"{BOX_LAYER}weight": torch.zeros(4, width), f"{BOX_LAYER}bias": torch.zeros(4)}
    config = settings.model_dump(mode="json", exclude_none=True)
    return DetectorCheckpoint(model, rows, detection, config, iteration=0)


def _settings(width: int) -> TrainSettings:
    return validate_settings(
        {
            "classifier": "random",
            "data": {"images": "none", "boxes": "none"},
            "detector": {"roi_width": width},
            "head": HeadSettings(zero_gamma=False).model_dump(exclude_none=True),
        }
    )
