"""``wtn prepare``: the files of a dataset become one index per split."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from wtn_cli import prepare_presets
from wtn_cli.options import AsJson
from wtn_cli.prepare_options import (
    Boxes,
    BoxPolicy,
    Classes,
    ExcludeImages,
    Force,
    ImageLabels,
    Images,
    ImageSizes,
    OnlyImages,
    Output,
)
from wtn_cli.prepare_run import run

app = typer.Typer(no_args_is_help=True)

Hierarchy = Annotated[Path | None, typer.Option(help="Hierarchy JSON.")]
DropUnknown = Annotated[
    bool,
    typer.Option(
        "--drop-unknown-classes", metavar="", help="Leave out boxes of classes not in --classes."
    ),
]
Expand = Annotated[
    bool,
    typer.Option("--expand", metavar="", help="Expand along --hierarchy, as evaluation needs it."),
]


@app.callback()
def _describe() -> None:
    """Make one index per split, which train, evaluate and check-data take as --boxes.

    It is memory-mapped, so it opens in no time at any size. Where it is already there, made of the
    same files in the same way, it is left as it is.

    Example: `wtn prepare open-images --boxes boxes.csv --classes classes.csv -o train.safetensors`
    """


@app.command()
def open_images(
    classes: Classes,
    output: Output,
    boxes: Boxes = None,
    image_labels: ImageLabels = None,
    hierarchy: Hierarchy = None,
    images: Images = None,
    image_sizes: ImageSizes = None,
    policy: BoxPolicy = "error",
    only_images: OnlyImages = None,
    exclude_images: ExcludeImages = None,
    drop_unknown_classes: DropUnknown = False,
    expand: Expand = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare CSVs of boxes and labels from Open Images, or with the same columns.

    Example: `wtn prepare open-images --boxes train-annotations-bbox.csv
    --classes class-descriptions-boxable.csv --images train.zip -o train.safetensors`
    """
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan

    source = OpenImagesSource(classes, tuple(boxes or ()), tuple(image_labels or ()), hierarchy)
    plan = SplitPlan(output, only_images, exclude_images, expand)
    options = PrepareOptions(policy, drop_unknown_classes, tuple(images or ()), image_sizes)
    run(source, [plan], options, force=force, as_json=as_json)


@app.command()
def coco(
    annotations: Annotated[Path, typer.Option(help="Such as instances_train2017.json.")],
    output: Output,
    class_ids: Annotated[
        Literal["id", "name"],
        typer.Option(metavar="id|name", help="What of a category is the id of its class."),
    ] = "id",
    images: Images = None,
    policy: BoxPolicy = "error",
    only_images: OnlyImages = None,
    exclude_images: ExcludeImages = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare an instances file of COCO, or of LVIS.

    Example: `wtn prepare coco --annotations instances_train2017.json --images train2017.zip
    -o train.safetensors`
    """
    from pipelines.data.annotation_sources import CocoSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan

    plan = SplitPlan(output, only_images, exclude_images)
    options = PrepareOptions(policy, images=tuple(images or ()))
    run(CocoSource(annotations, class_ids), [plan], options, force=force, as_json=as_json)


@app.command()
def voc(
    annotations: Annotated[Path, typer.Option(help="Folder of XML files, or one such as VOC2012.")],
    output: Output,
    images: Images = None,
    policy: BoxPolicy = "error",
    only_images: OnlyImages = None,
    exclude_images: ExcludeImages = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare the XML files of Pascal VOC.

    Example: `wtn prepare voc --annotations VOC2012 --only-images
    VOC2012/ImageSets/Main/train.txt --images VOC2012/JPEGImages -o train.safetensors`
    """
    from pipelines.data.annotation_sources import VocSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan

    plan = SplitPlan(output, only_images, exclude_images)
    options = PrepareOptions(policy, images=tuple(images or ()))
    run(VocSource(annotations), [plan], options, force=force, as_json=as_json)


@app.command()
def visual_genome(
    objects: Annotated[Path, typer.Option(help="objects.json of version 1.2 or 1.4.")],
    classes: Classes,
    sizes: Annotated[
        Path, typer.Option("--image-sizes", help="image_data.json, or `ImageID,height,width`.")
    ],
    output: Output,
    aliases: Annotated[Path | None, typer.Option(help="object_alias.txt")] = None,
    exclude_classes: Annotated[
        Path | None, typer.Option(help="Class list of those that have boxes already.")
    ] = None,
    min_boxes: Annotated[int, typer.Option(min=1, help="Leave out classes with fewer boxes.")] = 1,
    images: Images = None,
    policy: BoxPolicy = "error",
    only_images: OnlyImages = None,
    exclude_images: ExcludeImages = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare the objects of Visual Genome whose name is the name of a class.

    Example: `wtn prepare visual-genome --objects objects.json --classes class-descriptions.csv
    --image-sizes image_data.json --policy clip -o vg.safetensors`
    """
    from pipelines.data.annotation_sources import VisualGenomeSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan

    source = VisualGenomeSource(objects, classes, sizes, aliases, exclude_classes, min_boxes)
    plan = SplitPlan(output, only_images, exclude_images)
    options = PrepareOptions(policy, images=tuple(images or ()))
    run(source, [plan], options, force=force, as_json=as_json)


app.command()(prepare_presets.oi_500)
app.command()(prepare_presets.oi_57)
app.command()(prepare_presets.vg_200)
