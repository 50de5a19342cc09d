"""``wtn prepare``: the files of a dataset become one index per split."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.data.annotation_sources import AnnotationSource
    from pipelines.data.split_plans import SplitPlan
    from pipelines.prepare import PrepareOptions, PrepareReport

app = typer.Typer(no_args_is_help=True)

Policy = Literal["error", "clip", "drop", "keep"]

Output = Annotated[Path, typer.Option("--output", "-o", help="The index to write.")]
Folder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for train.safetensors and val.safetensors.")
]
Boxes = Annotated[
    list[Path] | None, typer.Option(help="Open Images box CSV; may be given several times.")
]
OneBoxes = Annotated[Path, typer.Option("--boxes", help="Box CSV.")]
Classes = Annotated[
    Path, typer.Option(help="Class list, such as class-descriptions.csv; sets their order.")
]
ImageLabels = Annotated[
    list[Path] | None,
    typer.Option(help="Verified image-level labels CSV; without it, boxes are exhaustive."),
]
Hierarchy = Annotated[Path | None, typer.Option(help="Hierarchy JSON.")]
NeededHierarchy = Annotated[
    Path, typer.Option("--hierarchy", help="bbox_labels_600_hierarchy.json")
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder, zip or tar of `<ImageID>.jpg`, to find them and their sizes; may be given "
        "several times."
    ),
]
ImageSizes = Annotated[
    Path | None, typer.Option(help="Lines of `ImageID,height,width`; wins over --images.")
]
BoxPolicy = Annotated[
    Policy, typer.Option("--policy", help="Bad boxes: error, clip, drop or keep.")
]
OnlyImages = Annotated[
    Path | None, typer.Option(help="Keep the images of this list (first column: their ids).")
]
ExcludeImages = Annotated[Path | None, typer.Option(help="Leave out the images of this list.")]
DropUnknown = Annotated[
    bool,
    typer.Option(
        "--drop-unknown-classes", metavar="", help="Leave out boxes of classes not in --classes."
    ),
]
Expand = Annotated[
    bool,
    typer.Option("--expand", metavar="", help="Expand along --hierarchy, as evaluation needs."),
]
AnyCounts = Annotated[
    bool, typer.Option("--any-counts", metavar="", help="Accept other than the official counts.")
]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Replace what is there.")]


@app.callback()
def _describe() -> None:
    """Make one index per split, which every command takes in place of --boxes.

    It is memory-mapped, so it opens in no time at any size. Made again of the same files, it is
    left as it is.

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
    """Prepare box and label CSVs of Open Images, or of the same columns.

    Example: `wtn prepare open-images --boxes train-annotations-bbox.csv --classes
    class-descriptions-boxable.csv --images train.zip -o train.safetensors`
    """
    from pipelines.data.annotation_sources import OpenImagesSource
    from pipelines.data.split_plans import SplitPlan
    from pipelines.prepare import PrepareOptions

    source = OpenImagesSource(classes, tuple(boxes or ()), tuple(image_labels or ()), hierarchy)
    plan = SplitPlan(output, only_images, exclude_images, expand)
    options = PrepareOptions(policy, drop_unknown_classes, tuple(images or ()), image_sizes)
    _prepare(source, [plan], options, force=force, as_json=as_json)


@app.command()
def coco(
    annotations: Annotated[Path, typer.Option(help="Such as instances_train2017.json.")],
    output: Output,
    class_ids: Annotated[
        Literal["id", "name"], typer.Option(help="What of a category is its class id.")
    ] = "id",
    images: Images = None,
    policy: BoxPolicy = "error",
    only_images: OnlyImages = None,
    exclude_images: ExcludeImages = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Prepare an instances file of COCO.

    Example: `wtn prepare coco --annotations instances_train2017.json --images train2017.zip
    -o train.safetensors`
    """
    from pipelines.data.annotation_sources import CocoSource
    from pipelines.data.split_plans import SplitPlan
    from pipelines.prepare import PrepareOptions

    options = PrepareOptions(policy, images=tuple(images or ()))
    plan = SplitPlan(output, only_images, exclude_images)
    _prepare(CocoSource(annotations, class_ids), [plan], options, force=force, as_json=as_json)


def _prepare(
    source: "AnnotationSource",
    plans: "Sequence[SplitPlan]",
    options: "PrepareOptions",
    *,
    force: bool,
    as_json: bool,
) -> None:
    from pipelines.prepare import prepare_splits

    with console.progress("prepare") as bar:
        reports = prepare_splits(source, plans, options, overwrite=force, on_progress=bar.phase)
    if as_json:
        console.emit_json(reports[0] if len(reports) == 1 else {"splits": reports})
        return
    for report in reports:
        _show(report)


def _show(report: "PrepareReport") -> None:
    counts = {name.replace("_", " "): f"{number:,}" for name, number in report.counts.items()}
    notes = {n.replace("_", " "): v for n, v in report.notes.items() if isinstance(v, int)}
    speed = report.boxes_per_second
    console.show_facts(
        f"{report.output}" + (" is up to date" if report.up_to_date else ""),
        {
            **counts,
            **notes,
            "seconds": f"{report.seconds:.1f}" + (f" ({speed:,.0f} boxes/s)" if speed else ""),
            "peak memory": f"{report.peak_memory_bytes / 1e6:,.0f} MB",
            "index": f"{report.index_bytes / 1e6:,.1f} MB",
            "key": report.key,
        },
    )
