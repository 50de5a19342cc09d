"""``wtn prepare`` for the datasets of the paper: the official files in, checked counts out."""

from pathlib import Path
from typing import Annotated

import typer

from wtn_cli.options import AsJson
from wtn_cli.prepare_options import (
    AnyCounts,
    Boxes,
    BoxPolicy,
    Classes,
    Force,
    ImageLabels,
    Images,
    ImageSizes,
    Output,
)
from wtn_cli.prepare_run import run

Folder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for train.safetensors and val.safetensors.")
]
OneBoxes = Annotated[Path, typer.Option("--boxes", help="The box CSV.")]
Hierarchy = Annotated[
    Path, typer.Option("--hierarchy", help="The hierarchy JSON of all 600 classes.")
]


def oi_500(
    boxes: OneBoxes,
    validation_ids: Annotated[
        Path, typer.Option(help="Its 100,000 images: val_sizes.txt, or the challenge's own list.")
    ],
    classes: Classes,
    hierarchy: Hierarchy,
    output: Folder,
    image_labels: ImageLabels = None,
    images: Images = None,
    image_sizes: ImageSizes = None,
    policy: BoxPolicy = "error",
    any_counts: AnyCounts = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare OI-500, the seen classes: training without the validation images, and validation.

    Example: `wtn prepare oi-500 --boxes challenge-2018-train-annotations-bbox.csv
    --validation-ids val_sizes.txt --classes challenge-2018-class-descriptions-new.csv
    --hierarchy bbox_labels_600_hierarchy.json -o oi-500`
    """
    from pipelines.data import presets
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.dataset import PrepareOptions

    source = OpenImagesSource(classes, (boxes,), tuple(image_labels or ()), hierarchy)
    plans = presets.oi_500(validation_ids, output, any_counts=any_counts)
    options = PrepareOptions(policy, images=tuple(images or ()), image_sizes=image_sizes)
    run(source, plans, options, force=force, as_json=as_json)


def oi_57(
    classes: Classes,
    hierarchy: Hierarchy,
    output: Output,
    boxes: Boxes = None,
    image_labels: ImageLabels = None,
    released: Annotated[
        bool,
        typer.Option(
            "--released", metavar="", help="The files are the release's: do not expand them again."
        ),
    ] = False,
    images: Images = None,
    image_sizes: ImageSizes = None,
    policy: BoxPolicy = "keep",
    any_counts: AnyCounts = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare OI-57, novel classes of Open Images, from the validation files with all classes.

    Example: `wtn prepare oi-57 --boxes validation-annotations-bbox.csv
    --image-labels validation-annotations-human-imagelabels-boxable.csv
    --classes novel-class-descriptions.csv --hierarchy bbox_labels_600_hierarchy.json
    --image-sizes val_600_sizes.txt -o oi-57.safetensors`
    """
    from pipelines.data import presets
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.dataset import PrepareOptions

    tables = tuple(boxes or ()), tuple(image_labels or ())
    source = OpenImagesSource(classes, *tables, hierarchy, expanded=released)
    plan = presets.oi_57(source, output, any_counts=any_counts)
    options = PrepareOptions(
        policy, drop_unknown_classes=True, images=tuple(images or ()), image_sizes=image_sizes
    )
    run(source, [plan], options, force=force, as_json=as_json)


def vg_200(
    boxes: OneBoxes,
    classes: Classes,
    output: Output,
    images: Images = None,
    image_sizes: ImageSizes = None,
    policy: BoxPolicy = "keep",
    any_counts: AnyCounts = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare VG-200, novel classes of Visual Genome, from the release's files.

    The release keeps boxes that leave their image, and so does this unless --policy says else;
    then the counts are not those of the release, and are not asked for.

    Example: `wtn prepare vg-200 --boxes vg-annotations-bbox.csv
    --classes vg-class-descriptions.csv --image-sizes vg_sizes.txt -o vg-200.safetensors`
    """
    from pipelines.data import presets
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.dataset import PrepareOptions

    plan = presets.vg_200(output, policy, any_counts=any_counts)
    options = PrepareOptions(policy, images=tuple(images or ()), image_sizes=image_sizes)
    run(OpenImagesSource(classes, (boxes,)), [plan], options, force=force, as_json=as_json)
