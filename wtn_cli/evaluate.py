"""``wtn evaluate``: a detector, or a file of predictions, against boxes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer

from pipelines.config import Metric
from pipelines.errors import ConfigError
from wtn_cli import console, evaluation_tables
from wtn_cli.options import AsJson, BatchSize, Device

Boxes = Annotated[
    Path, typer.Option(help="The ground truth: Open Images box CSV, or an index by: wtn prepare")
]
Checkpoint = Annotated[Path | None, typer.Option(help="A detector made by: wtn train")]
Head = Annotated[Path | None, typer.Option(help="Its head, made by: wtn export-head")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        help="Folder, zip or tar of `<ImageID>.jpg`, several times if needed; an index may know "
        "its own.",
    ),
]
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
Hierarchy = Annotated[
    Path | None,
    typer.Option(
        help="Hierarchy JSON; expands boxes and labels, and tells novel classes above seen ones."
    ),
]
MetricName = Annotated[
    str,
    typer.Option(help="oid (Open Images challenge), aewtn-release (the paper's code) or coco."),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="GROUP|FILE",
        help="Detect and score only these: all, seen, novel, other, detection, or a file.",
    ),
]
SeenClasses = Annotated[
    Path | None,
    typer.Option(help="With --predictions and no --head: class file of the seen; others novel."),
]
GroupOfWeight = Annotated[float, typer.Option(min=0.0, help="Worth of a group-of box under oid.")]
ImageSizes = Annotated[
    str | None,
    typer.Option(help="Pixels of --predictions: WIDTHxHEIGHT, or a sizes file; not for oid."),
]
RecallAt = Annotated[
    list[int] | None,
    typer.Option(
        min=1, metavar="K", help="Report AR@K of the K best of each image; several times if needed."
    ),
]
Joint = Annotated[
    bool,
    typer.Option(
        "--joint",
        metavar="",
        help="Let novel classes compete with seen ones, and report both beside each alone.",
    ),
]
Bootstrap = Annotated[
    int, typer.Option(min=0, metavar="N", help="95 % intervals from N samples of the images.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of the bootstrap samples.")]
PerClass = Annotated[Path | None, typer.Option(help="Write a CSV with one row a class.")]
SavePredictions = Annotated[
    Path | None, typer.Option(help="Write the detections as a challenge CSV.")
]
DetectionsPerImage = Annotated[
    int | None,
    typer.Option(
        "--max-detections", min=1, help="Count so many an image (run's setting; all of a file)."
    ),
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
    seen_classes: SeenClasses = None,
    group_of_weight: GroupOfWeight = 1.0,
    image_sizes: ImageSizes = None,
    detections_per_image: DetectionsPerImage = None,
    recall_at: RecallAt = None,
    joint: Joint = False,
    bootstrap: Bootstrap = 0,
    seed: Seed = 0,
    per_class: PerClass = None,
    save_predictions: SavePredictions = None,
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
    from pipelines.metrics.evaluation import Protocol
    from pipelines.metrics.report import write_per_class

    _refuse_mixed(predictions, (checkpoint, images, save_predictions), (image_sizes, seen_classes))
    chosen, truth = _metric(metric), GroundTruth(boxes, image_labels, hierarchy)
    protocol = Protocol(
        detections_per_image, joint, tuple(dict.fromkeys(recall_at or ())), bootstrap, seed
    )
    if predictions is not None:
        report = evaluate_predictions(
            predictions,
            truth,
            metric=chosen,
            classes=classes,
            head=head,
            seen_classes=seen_classes,
            group_of_weight=group_of_weight,
            image_sizes=image_sizes,
            protocol=protocol,
        )
    else:
        with console.progress("detect") as bar:
            report = evaluate_detector(
                *_required(images, checkpoint=checkpoint, head=head),
                images or (),
                truth,
                metric=chosen,
                classes=classes or "all",
                group_of_weight=group_of_weight,
                protocol=protocol,
                device=device,
                batch_size=batch_size,
                predictions=save_predictions,
                on_progress=bar.update,
            )
    if as_json:
        console.emit_json(evaluation_tables.as_json(report))
    else:
        evaluation_tables.show(report)
    if per_class is not None:
        write_per_class(report, per_class)


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
