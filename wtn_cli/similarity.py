"""``wtn similarity``: how similar classes look to a classifier, measured on images."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.config import BackboneSettings
from pipelines.errors import ConfigError
from wtn_cli import console
from wtn_cli.options import AsJson, BatchSize, Device

NETWORK = "The network"
_DEFAULTS = BackboneSettings()


def similarity(
    classifier: Annotated[Path, typer.Option(help="Rows made by: wtn extract-weights")],
    backbone_weights: Annotated[
        str,
        typer.Option(
            help="State dict of the classifier, or torchvision:NAME@WEIGHTS.",
            rich_help_panel=NETWORK,
        ),
    ],
    images: Annotated[
        list[Path],
        typer.Option(
            metavar="PATH",
            help="Folder, zip or tar of `<ImageID>.jpg`; repeat it for several.",
        ),
    ],
    image_labels: Annotated[
        Path, typer.Option(help="CSV of ImageID,LabelName,Confidence; Confidence 1 counts.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "similarity.safetensors"
    ),
    backbone: Annotated[
        Literal["resnet50", "resnet18", "mobilenet_v2", "tiny"],
        typer.Option(help="What it is.", rich_help_panel=NETWORK),
    ] = _DEFAULTS.name,
    activation: Annotated[
        Literal["softmax", "sigmoid"],
        typer.Option(
            help="What it was trained with; sigmoid if it gives several labels an image.",
            rich_help_panel=NETWORK,
        ),
    ] = "softmax",
    image_size: Annotated[
        int, typer.Option(min=32, help="Side of its input in pixels.", rich_help_panel=NETWORK)
    ] = 224,
    image_mean: Annotated[
        tuple[float, float, float],
        typer.Option(
            metavar="R G B", help="Subtracted from pixels in 0 to 1.", rich_help_panel=NETWORK
        ),
    ] = _DEFAULTS.image_mean,
    image_std: Annotated[
        tuple[float, float, float],
        typer.Option(metavar="R G B", help="Divides them then.", rich_help_panel=NETWORK),
    ] = _DEFAULTS.image_std,
    max_images: Annotated[
        int | None, typer.Option(min=1, help="At most so many images of a class (all).")
    ] = None,
    device: Device = "auto",
    batch_size: BatchSize = 32,
    as_json: AsJson = False,
) -> None:
    """Average a classifier's probabilities over images of each class.

    LSDA's visual transfer borrows by them: `wtn export-head --similarity FILE`.

    Example: `wtn similarity --classifier classifier.safetensors --backbone mobilenet_v2
    --backbone-weights mobilenet_v2.safetensors --images images.zip --image-labels labels.csv`
    """
    from pipelines.similarity import measure_similarity  # imports torch, so only when it runs

    if min(image_std) <= 0:
        raise ConfigError("--image-std must be above 0 in each channel")
    settings = BackboneSettings(
        name=backbone, weights=backbone_weights, image_mean=image_mean, image_std=image_std
    )
    with console.progress("look") as bar:
        report = measure_similarity(
            classifier,
            settings,
            images,
            image_labels,
            output,
            activation=activation,
            max_images=max_images,
            image_size=image_size,
            device=device,
            batch_size=batch_size,
            on_progress=bar.update,
        )
    if as_json:
        console.emit_json(report)
        return
    console.show_facts(
        f"{report.output}",
        {
            "classes": f"{report.classes} with images, of {report.classifier_classes}",
            "images": f"{report.images}, {report.fewest} or more a class",
            "not at hand": f"{report.missing} images with a label",
            "recognised": f"{console.percent(report.recognised)} % of the classes",
        },
    )
