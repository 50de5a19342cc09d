"""``wtn evaluate``: a detector, or a file of predictions, against boxes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from pipelines.config import Metric
from pipelines.errors import ConfigError
from wtn_cli import console
from wtn_cli.options import AsJson, BatchSize, Device

if TYPE_CHECKING:
    from pipelines.metrics.report import EvaluateReport

Boxes = Annotated[Path, typer.Option(help="Open Images box CSV: the ground truth.")]
Checkpoint = Annotated[Path | None, typer.Option(help="A detector made by: wtn train")]
Head = Annotated[Path | None, typer.Option(help="Its head, made by: wtn export-head")]
Images = Annotated[Path | None, typer.Option(help="Folder or zip of `<ImageID>.jpg`.")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        help="Score this file instead of a detector: "
        "ImageID, LabelName, Score, XMin, XMax, YMin, YMax."
    ),
]
ImageLabels = Annotated[
    Path | None,
    typer.Option(help="Verified image-level labels CSV; without it, boxes are exhaustive."),
]
Hierarchy = Annotated[Path | None, typer.Option(help="Hierarchy JSON; expands boxes and labels.")]
MetricName = Annotated[
    str, typer.Option(help="oid (Open Images challenge) or aewtn-release (the paper's code).")
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="GROUP|FILE",
        help="Detect and score only these: all, seen, novel, other, detection, or a file.",
    ),
]
GroupOfWeight = Annotated[float, typer.Option(min=0.0, help="Worth of a group-of box under oid.")]
ImageSizes = Annotated[
    str | None,
    typer.Option(help="For aewtn-release on predictions: WIDTHxHEIGHT, or a sizes file."),
]
PerClass = Annotated[Path | None, typer.Option(help="Write a CSV with one row a class.")]
SavePredictions = Annotated[
    Path | None, typer.Option(help="Write the detections as a challenge CSV.")
]
DetectionsPerImage = Annotated[
    int | None,
    typer.Option("--max-detections", min=1, help="Keep so many an image (run's setting)."),
]


def evaluate(
    boxes: Boxes,
    checkpoint: Checkpoint = None,
    head: Head = None,
    images: Images = None,
    predictions: Predictions = None,
    image_labels: ImageLabels = None,
    hierarchy: Hierarchy = None,
    metric: MetricName = "oid",
    classes: Classes = None,
    group_of_weight: GroupOfWeight = 1.0,
    image_sizes: ImageSizes = None,
    per_class: PerClass = None,
    save_predictions: SavePredictions = None,
    detections_per_image: DetectionsPerImage = None,
    device: Device = "auto",
    batch_size: BatchSize = 4,
    as_json: AsJson = False,
) -> None:
    """Compute AP50 by class, and its mean over seen, novel and other classes.

    Example: `wtn evaluate --checkpoint run/checkpoint.safetensors --head head.safetensors
    --images val.zip --boxes val-boxes.csv --per-class ap.csv`

    Example: `wtn evaluate --predictions predictions.csv --boxes val-boxes.csv
    --image-labels val-labels.csv --json`
    """
    from pipelines.evaluate import GroundTruth, evaluate_detector, evaluate_predictions
    from pipelines.metrics.report import write_per_class

    chosen = _metric(metric)
    truth = GroundTruth(boxes, image_labels, hierarchy)
    if predictions is not None:
        if checkpoint or images or save_predictions or detections_per_image:
            raise ConfigError("--predictions takes the place of --checkpoint and its options")
        report = evaluate_predictions(
            predictions,
            truth,
            metric=chosen,
            classes=classes,
            head=head,
            group_of_weight=group_of_weight,
            image_sizes=image_sizes,
        )
    else:
        if image_sizes:
            raise ConfigError("--image-sizes is for --predictions; a detector sees its images")
        files = _required(checkpoint=checkpoint, head=head, images=images)
        with console.progress("detect") as bar:
            report = evaluate_detector(
                *files,
                truth,
                metric=chosen,
                classes=classes or "all",
                group_of_weight=group_of_weight,
                detections_per_image=detections_per_image,
                device=device,
                batch_size=batch_size,
                predictions=save_predictions,
                on_progress=bar.update,
            )
    if as_json:
        console.emit_json(_as_json(report))
    else:
        _show(report)
    if per_class is not None:
        write_per_class(report, per_class)


def _required(**files: Path | None) -> tuple[Path, Path, Path]:
    missing = [f"--{name}" for name, file in files.items() if file is None]
    if missing:
        raise ConfigError(
            f"{', '.join(missing)} missing",
            mend="Give --checkpoint, --head and --images, or --predictions.",
        )
    checkpoint, head, images = (file for file in files.values() if file is not None)
    return checkpoint, head, images


def _metric(name: str) -> Metric:
    metrics: tuple[Metric, ...] = get_args(Metric)
    for metric in metrics:
        if metric == name:
            return metric
    raise ConfigError(f"unknown metric {name!r}", mend=f"Metrics: {', '.join(metrics)}.")


def _as_json(report: "EvaluateReport") -> dict[str, object]:
    return {
        "metric": report.metrics.metric,
        "AP50": report.metrics.mean_average_precision(),
        "mean_recall": report.metrics.mean_recall(),
        "images": report.images,
        "groups": {row.group: row for row in report.by_group()},
        "per_class": dict(report.metrics.average_precision),
    }


def _show(report: "EvaluateReport") -> None:
    rows = [
        (row.group, str(row.classes), str(row.with_ground_truth), console.percent(row.AP50),
         console.percent(row.mean_recall))
        for row in report.by_group()
    ]  # fmt: skip
    console.say(f"{report.metrics.metric} on {report.images} images, in percent")
    console.show_table(("group", "classes", "with boxes", "AP50", "recall"), rows)
