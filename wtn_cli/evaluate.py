"""``wtn evaluate``: a detector, or a file of predictions, against boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from pipelines.config import Metric
from pipelines.errors import ConfigError
from wtn_cli import console, evaluation_tables
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
    PerClass,
    PlotClass,
    Plots,
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
    predictions: Predictions = None,
    seen_classes: SeenClasses = None,
    image_sizes: ImageSizes = None,
    metric: MetricName = "oid",
    classes: Classes = None,
    group_of_weight: GroupOfWeight = None,
    detections_per_image: DetectionsPerImage = None,
    recall_at: RecallAt = None,
    joint: Joint = False,
    bootstrap: Bootstrap = 0,
    seed: Seed = None,
    per_class: PerClass = None,
    plots: Plots = None,
    plot_class: PlotClass = None,
    save_predictions: SavePredictions = None,
    as_json: AsJson = False,
) -> None:
    """Compute AP50 by class, and its mean over seen, novel and other classes.

    Example: `wtn evaluate --checkpoint run/checkpoint.safetensors --head head.safetensors
    --images val.zip --boxes val-boxes.csv --per-class ap.csv`

    Example: `wtn evaluate --predictions predictions.csv --boxes val-boxes.csv
    --image-labels val-labels.csv --json`
    """
    from pipelines.evaluate import GroundTruthFiles, evaluate_detector, evaluate_predictions
    from pipelines.metrics.evaluation import Protocol
    from pipelines.metrics.report import write_per_class
    from pipelines.metrics.scorer import Scoring

    of_detector = (checkpoint, images, save_predictions, batch_size, device)
    _refuse_mixed(predictions, of_detector, (image_sizes, seen_classes))
    _refuse_unused(group_of_weight, metric, seed, bootstrap)
    _refuse_unplotted(plots, plot_class)
    inputs = (boxes, image_labels, hierarchy, checkpoint, head, *(images or ()), predictions,
              seen_classes, image_sizes, classes)  # fmt: skip
    _refuse_to_replace(inputs, (per_class, save_predictions), plots)
    truth = GroundTruthFiles(boxes, image_labels, hierarchy)
    at = tuple(dict.fromkeys(recall_at or ()))
    plotted = None if plots is None else tuple(plot_class or ())
    protocol = Protocol(detections_per_image, joint, at, bootstrap, seed or 0, plotted)
    weight = 1.0 if group_of_weight is None else group_of_weight
    scoring = Scoring(_metric(metric), classes, weight, protocol)
    if predictions is not None:
        report = evaluate_predictions(
            predictions,
            truth,
            scoring=scoring,
            head=head,
            seen_classes=seen_classes,
            image_sizes=image_sizes,
        )
    else:
        with console.progress("detect") as bar:
            report = evaluate_detector(
                *_required(images, checkpoint=checkpoint, head=head),
                images or (),
                truth,
                scoring=scoring,
                device=device or "auto",
                batch_size=batch_size or 4,
                predictions=save_predictions,
                on_progress=bar.update,
            )
    evaluation_tables.emit(report, as_json=as_json)
    if per_class is not None:
        write_per_class(report, per_class)
    if plots is not None:
        _plot(report, plots)


def _refuse_unused(
    group_of_weight: float | None, metric: str, seed: int | None, bootstrap: int
) -> None:
    """Refuse options that would change nothing."""
    if group_of_weight is not None and metric != "oid":
        raise ConfigError(
            f"--group-of-weight is for --metric oid, not {metric}",
            mend="The other metrics decide themselves what a group is worth; leave it out.",
        )
    if seed is not None and not bootstrap:
        raise ConfigError("--seed needs --bootstrap", mend="Ask for samples: --bootstrap 1000.")


def _refuse_to_replace(
    inputs: Sequence[Path | str | None], tables: Sequence[Path | None], plots: Path | None
) -> None:
    """Refuse tables and pictures in place of a file that is read, before anything is detected."""
    from pipelines.metrics.plots import plot_paths
    from pipelines.storage import refuse_to_replace

    files = [Path(name) for name in inputs if name is not None]
    outputs = [*tables, *(plot_paths(plots) if plots else ())]
    for output in filter(None, outputs):
        refuse_to_replace(output, files)


def _refuse_unplotted(plots: Path | None, plot_class: Sequence[str] | None) -> None:
    """Refuse plots that cannot be drawn before anything is detected."""
    if plots is not None:
        from pipelines.metrics.plots import require_matplotlib

        require_matplotlib()
    elif plot_class:
        raise ConfigError("--plot-class needs --plots", mend="Name a folder with --plots.")


def _plot(report: "EvaluateReport", folder: Path) -> None:
    from pipelines.metrics.plots import plot_report

    for path in plot_report(report, folder):
        console.note(f"drew {path}")


def _refuse_mixed(
    predictions: Path | None, of_detector: Sequence[object], of_file: Sequence[object]
) -> None:
    """Refuse options of a detector beside a file of predictions, and the other way round."""
    if predictions is not None and any(of_detector):
        raise ConfigError("--predictions takes the place of --checkpoint and its options")
    if predictions is None and any(of_file):
        option = "--image-sizes" if of_file[0] else "--seen-classes"
        raise ConfigError(
            f"{option} is for --predictions",
            mend="A detector sees its images, and its head knows the seen classes.",
        )


def _required(images: list[Path] | None, **files: Path | None) -> tuple[Path, Path]:
    """Return the checkpoint and the head; images alone may be missing, an index knows them."""
    missing = [f"--{name}" for name, file in files.items() if file is None]
    if missing:
        raise ConfigError(
            f"{', '.join([*missing, *['--images'] * (not images)])} missing",
            mend="Give --checkpoint, --head and --images, or --predictions.",
        )
    checkpoint, head = (file for file in files.values() if file is not None)
    return checkpoint, head


def _metric(name: str) -> Metric:
    metrics: tuple[Metric, ...] = get_args(Metric)
    for metric in metrics:
        if metric == name:
            return metric
    raise ConfigError(f"unknown metric {name!r}", mend=f"Metrics: {', '.join(metrics)}.")
