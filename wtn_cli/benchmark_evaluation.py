"""``wtn benchmark evaluation``: the cost of scoring predictions, beside the official evaluators."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import RunError
from wtn_cli import console

Images = Annotated[int, typer.Option(min=1, help="Images at the largest of three sizes.")]
DetectionsPerImage = Annotated[int, typer.Option(min=1, help="Detections in each image.")]
Classes = Annotated[int, typer.Option(min=1, help="Classes of drawn ground truth.")]
Runs = Annotated[int, typer.Option(min=1, help="Runs of each measurement.")]
Boxes = Annotated[
    Path | None, typer.Option(help="Open Images box CSV to score against; else one is drawn.")
]
ImageSizes = Annotated[
    str, typer.Option(help="WIDTHxHEIGHT, or a file of ImageID,height,width lines.")
]
TensorflowModels = Annotated[
    Path | None, typer.Option(help="A checkout of tensorflow/models, to run beside.")
]
Release = Annotated[Path | None, typer.Option(help="A checkout of xternalz/AE-WTN, to run beside.")]
OfficialImages = Annotated[
    int, typer.Option(min=1, help="Images that the official evaluators score.")
]


def evaluation(
    images: Images = 24_690,
    detections_per_image: DetectionsPerImage = 100,
    classes: Classes = 200,
    runs: Runs = 3,
    boxes: Boxes = None,
    image_sizes: ImageSizes = "1024x768",
    tensorflow_models: TensorflowModels = None,
    release: Release = None,
    official_images: OfficialImages = 2_000,
) -> None:
    """Time the scoring of drawn detections, from file to figures, for each metric.

    The checkouts are run as they are: their evaluators need numpy and torch only, and read files
    with pandas where it is installed.

    Example: `wtn benchmark evaluation --boxes vg-annotations-bbox.csv --image-sizes vg_sizes.txt
    --tensorflow-models models --release AE-WTN`
    """
    from pipelines.benchmarks.evaluation import benchmark_evaluation  # imports torch

    result = benchmark_evaluation(
        images=images,
        detections_per_image=detections_per_image,
        classes=classes,
        runs=runs,
        boxes=boxes,
        image_sizes=image_sizes,
        tensorflow_models=tensorflow_models,
        release=release,
        official_images=official_images,
    )
    console.emit_json(result)
    if result.missed:
        raise RunError("; ".join(result.missed))
