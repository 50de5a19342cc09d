"""``wtn evaluate``: a detector, or a file of predictions, against boxes."""

from pathlib import Path
from typing import TYPE_CHECKING

from wtn_cli import console, evaluation_tables, processes
from wtn_cli import evaluate_checks as checks
from wtn_cli.evaluate_options import (
    BatchSize,
    Bootstrap,
    Boxes,
    Checkpoint,
    Classes,
    DetectionsPerImage,
    Device,
    GroupOfWeight,
    Head,
    Hierarchy,
    ImageLabels,
    Images,
    ImageSizes,
    Joint,
    MetricName,
    NovelShift,
    PerClass,
    PlotClass,
    Plots,
    PrecisionName,
    Predictions,
    RecallAt,
    SavePredictions,
    Seed,
    SeenClasses,
)
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.metrics.report import EvaluateReport


def evaluate(
    boxes: Boxes,
    image_labels: ImageLabels = None,
    hierarchy: Hierarchy = None,
    checkpoint: Checkpoint = None,
    head: Head = None,
    images: Images = None,
    batch_size: BatchSize = None,
    device: Device = None,
    precision: PrecisionName = None,
    predictions: Predictions = None,
    seen_classes: SeenClasses = None,
    image_sizes: ImageSizes = None,
    metric: MetricName = "oid",
    classes: Classes = None,
    group_of_weight: GroupOfWeight = None,
    detections_per_image: DetectionsPerImage = None,
    recall_at: RecallAt = None,
    joint: Joint = False,
    novel_shift: NovelShift = None,
    bootstrap: Bootstrap = 0,
    seed: Seed = None,
    per_class: PerClass = None,
    plots: Plots = None,
    plot_class: PlotClass = None,
    save_predictions: SavePredictions = None,
    as_json: AsJson = False,
) -> None:
    """Compute AP50 by class, and its mean over seen, novel and other classes.

    Example: `wtn evaluate --checkpoint run/checkpoint.safetensors --images val.zip
    --boxes val-boxes.csv --per-class ap.csv`

    Example: `wtn evaluate --predictions predictions.csv --boxes val-boxes.csv
    --image-labels val-labels.csv --json`
    """
    from pipelines.distributed import joined
    from pipelines.evaluate import GroundTruthFiles, evaluate_detector, evaluate_predictions
    from pipelines.metrics.evaluation import Protocol
    from pipelines.metrics.scorer import Scoring

    of_detector = (checkpoint, images, save_predictions, batch_size, device, precision, novel_shift)
    checks.refuse_mixed(predictions, of_detector, (image_sizes, seen_classes))
    checks.refuse_unused(group_of_weight, metric, seed, bootstrap)
    checks.refuse_shift_alone(novel_shift, joint)
    checks.refuse_unplotted(plots, plot_class)
    inputs = (boxes, image_labels, hierarchy, checkpoint, head, *(images or ()), predictions,
              seen_classes, image_sizes, classes)  # fmt: skip
    checks.refuse_outputs(inputs, (per_class, save_predictions), plots)
    team = processes.join()
    truth = GroundTruthFiles(boxes, image_labels, hierarchy)
    at = tuple(dict.fromkeys(recall_at or ()))
    plotted = None if plots is None else tuple(plot_class or ())
    protocol = Protocol(detections_per_image, joint, at, bootstrap, seed or 0, plotted)
    weight = 1.0 if group_of_weight is None else group_of_weight
    scoring = Scoring(metric, classes, weight, protocol)
    if predictions is not None:
        groups = {"head": head, "seen_classes": seen_classes}
        report = evaluate_predictions(
            predictions, truth, scoring=scoring, image_sizes=image_sizes, **groups
        )
    else:
        with joined(team, device or "auto"), console.progress("detect") as bar:
            report = evaluate_detector(
                checks.required(checkpoint, images),
                head,
                images or (),
                truth,
                scoring=scoring,
                novel_shift=novel_shift or 0.0,
                device=device or "auto",
                batch_size=batch_size or 4,
                precision=precision or "float32",
                predictions=save_predictions,
                on_progress=bar.update,
                team=team,
            )
    evaluation_tables.emit(report, as_json=as_json)
    if team.is_leader:
        _write(report, per_class, plots)


def _write(report: "EvaluateReport", per_class: Path | None, plots: Path | None) -> None:
    from pipelines.metrics.plots import plot_report
    from pipelines.metrics.report import write_per_class

    if per_class is not None:
        write_per_class(report, per_class)
    for path in plot_report(report, plots) if plots is not None else ():
        console.note(f"drew {path}")
