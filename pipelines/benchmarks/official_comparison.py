"""Our evaluation beside an official one, on the same files and from the same starting points."""

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pipelines.benchmarks.evaluation_files import EvaluationFiles
from pipelines.benchmarks.fresh_process import measure
from pipelines.benchmarks.official_result import OfficialResult
from pipelines.benchmarks.synthetic_detections import DrawnFiles
from pipelines.config import Metric
from pipelines.data.image_sizes import parse_image_sizes
from pipelines.evaluate import GroundTruthFiles, evaluate_predictions
from pipelines.metrics.open_images import open_images_metric
from pipelines.metrics.release import release_metric
from pipelines.metrics.scorer import Scoring

Figures: TypeAlias = Mapping[str, float]  # average precision by class id


@dataclass(frozen=True)
class Comparison:
    """An official evaluator beside ours.

    Args:
        images: Images in the files.
        detections: Detections in the files.
        reader: Who read the files for the official evaluator: ``pandas`` as in its own script, or
            ``wtn``.
        seconds: Median of the official evaluator, from files to figures.
        our_seconds: The same of ours.
        ratio: How many times faster ours is.
        scoring_seconds: Median of the official evaluator, from arrays in memory to figures.
        our_scoring_seconds: The same of ours.
        scoring_ratio: How many times faster ours is.
        peak_rss_bytes: The most memory that the official evaluator's process held.
        max_difference: The largest difference between the average precisions of a class; infinite
            if one evaluator has a figure where the other has none.
    """

    images: int
    detections: int
    reader: str
    seconds: float
    our_seconds: float
    ratio: float
    scoring_seconds: float
    our_scoring_seconds: float
    scoring_ratio: float
    peak_rss_bytes: int
    max_difference: float


def compare(
    metric: Metric,
    drawn: DrawnFiles,
    run_official: Callable[[EvaluationFiles], OfficialResult],
    runs: int,
    warm_up: EvaluationFiles,
) -> Comparison:
    """Run both evaluators ``runs`` times in turn, each time in a process of its own.

    Args:
        metric: Ours.
        drawn: What to score.
        run_official: Scores files.
        runs: Of each.
        warm_up: Files that ours scores first in each process.
    """
    given, first = (metric, drawn.files), (metric, warm_up)
    official, ours, our_scoring = [], [], []
    for _ in range(runs):
        official.append(run_official(drawn.files))
        ours.append(measure(evaluate_files, *given, warm_up=first))
        our_scoring.append(measure(_seconds_from_tables, *given, warm_up=first).result)
    seconds = statistics.median(result.seconds for result in official)
    our_seconds = statistics.median(run.seconds for run in ours)
    scoring_seconds = statistics.median(result.scoring_seconds for result in official)
    our_scoring_seconds = statistics.median(our_scoring)
    return Comparison(
        drawn.images,
        drawn.detections,
        official[0].reader,
        seconds,
        our_seconds,
        seconds / our_seconds,
        scoring_seconds,
        our_scoring_seconds,
        scoring_seconds / our_scoring_seconds,
        max(result.peak_rss_bytes for result in official),
        largest_difference(official[0].per_class, ours[0].result),
    )


def evaluate_files(metric: Metric, files: EvaluationFiles) -> Figures:
    """Score the files from beginning to end, as ``wtn evaluate --predictions`` does."""
    report = evaluate_predictions(
        files.predictions,
        GroundTruthFiles(files.boxes, files.image_labels),
        scoring=Scoring(metric),
        image_sizes=None if metric == "oid" else files.image_sizes,
    )
    return dict(report.metrics.average_precision)


def largest_difference(official: Figures, ours: Figures) -> float:
    """Return the largest difference of a class that has a figure on either side."""
    pairs = [(official[name], ours.get(name, math.nan)) for name in official]
    known = [pair for pair in pairs if not all(map(math.isnan, pair))]
    if any(math.isnan(figure) for pair in known for figure in pair):
        return math.inf
    return max((abs(one - other) for one, other in known), default=0.0)


def _seconds_from_tables(metric: Metric, files: EvaluationFiles) -> float:
    boxes, labels, predictions = files.read()
    sizes = parse_image_sizes(files.image_sizes)
    started = time.perf_counter()
    if metric == "oid":
        open_images_metric(boxes, labels, predictions, boxes.class_ids)
    else:
        release_metric(boxes, labels, predictions, boxes.class_ids, image_sizes=sizes)
    return time.perf_counter() - started
