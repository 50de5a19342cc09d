"""``wtn similarity``: how similar classes look to a classifier, measured on images."""

import math
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.config import BackboneName, BackboneSettings
from pipelines.errors import ConfigError
from wtn_cli import console
from wtn_cli.options import AsJson, BatchSize, Device

NETWORK = "The network"
_DEFAULTS = BackboneSettings()

Classifier = Annotated[Path, typer.Option(help="Rows made by: wtn extract-weights")]
BackboneWeights = Annotated[
    str,
    typer.Option(
        metavar="FILE",
        help="State dict of the classifier, or torchvision:NAME@WEIGHTS.",
        rich_help_panel=NETWORK,
    ),
]
Images = Annotated[
    list[Path],
    typer.Option(
        metavar="PATH",
        help="Folder, zip or tar of `<ImageID>.jpg`; repeat it for several.",
    ),
]
ImageLabels = Annotated[
    Path, typer.Option(help="CSV of ImageID, LabelName, Confidence; Confidence 1 counts.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Backbone = Annotated[
    BackboneName,
    typer.Option(
        metavar="NAME",
        help="resnet50, resnet18, mobilenet_v2 or tiny.",
        rich_help_panel=NETWORK,
    ),
]
Activation = Annotated[
    Literal["softmax", "sigmoid"],
    typer.Option(
        help="What it was trained with; sigmoid if it gives several labels an image.",
        rich_help_panel=NETWORK,
    ),
]
ImageSize = Annotated[
    int,
    typer.Option(
        min=32, metavar="INT", help="Side of its input in pixels.", rich_help_panel=NETWORK
    ),
]
ImageMean = Annotated[
    tuple[float, float, float],
    typer.Option(
        metavar="R G B", help="Subtracted from pixels in 0 to 1.", rich_help_panel=NETWORK
    ),
]
ImageStd = Annotated[
    tuple[float, float, float],
    typer.Option(metavar="R G B", help="Divides them then.", rich_help_panel=NETWORK),
]
MaxImages = Annotated[
    int | None, typer.Option(min=1, help="At most so many images of a class (all).")
]


def similarity(
    classifier: Classifier,
    backbone_weights: BackboneWeights,
    images: Images,
    image_labels: ImageLabels,
    output: Output = Path("similarity.safetensors"),
    backbone: Backbone = _DEFAULTS.name,
    activation: Activation = "softmax",
    image_size: ImageSize = 224,
    image_mean: ImageMean = _DEFAULTS.image_mean,
    image_std: ImageStd = _DEFAULTS.image_std,
    max_images: MaxImages = None,
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

    if not all(map(math.isfinite, image_mean + image_std)) or min(image_std) <= 0:
        raise ConfigError("--image-mean must be finite, and --image-std above 0 in each channel")
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
            "recognised": f"{console.percent(report.recognised)} % of the classes score highest on "
            "their own images",
        },
    )
