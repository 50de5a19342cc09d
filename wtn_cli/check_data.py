"""``wtn check-data``: everything that is wrong with a dataset, in one table."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.config import BoxPolicy
from wtn_cli import console
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.check_data import CheckReport
    from pipelines.data.findings import FindingSummary

Boxes = Annotated[Path, typer.Option(help="Index made by wtn prepare, or Open Images box CSV.")]
Classes = Annotated[
    Path | None, typer.Option(help="Class list: look for classes that are unknown or unused.")
]
ImageLabels = Annotated[Path | None, typer.Option(help="Verified image-level labels CSV.")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder, zip or tar of `<ImageID>.jpg`: decode the annotated images; repeat it for "
        "several. An index knows its own."
    ),
]
Policy = Annotated[
    BoxPolicy,
    typer.Option(
        metavar="POLICY", help="What training will do with bad boxes: error, clip or drop."
    ),
]
Rows = Annotated[
    Path | None, typer.Option(help="Write a CSV of all that is wrong: file, row, what and why.")
]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="KIND", help="A kind that is no fault here; repeat it for several."),
]
Workers = Annotated[int, typer.Option(min=1, help="Threads that decode images.")]


def check_data(
    boxes: Boxes,
    classes: Classes = None,
    image_labels: ImageLabels = None,
    images: Images = None,
    policy: Policy = "error",
    rows: Rows = None,
    allow: Allow = None,
    workers: Workers = 2,
    as_json: AsJson = False,
) -> None:
    """Find bad boxes, unknown classes and broken images before training does.

    Ends with exit code 3 if anything is wrong that is not allowed.

    Example: `wtn check-data --boxes boxes.csv --classes classes.csv --images train.zip
    --policy clip --rows faults.csv --allow class-unused`
    """
    from pipelines.check_data import check_data
    from pipelines.data.check_inputs import CheckInputs

    inputs = CheckInputs(boxes, classes, image_labels, images or ())
    with console.progress("check images") as bar:
        report = check_data(
            inputs,
            policy,
            rows=rows,
            allow=allow or (),
            workers=workers,
            on_progress=lambda done, total, rate: bar.update(done, total, f"{rate:.0f} images/s"),
        )
    if as_json:
        console.emit_json(report)
    else:
        _show(report, policy)
    report.refuse_faults()


def _show(report: "CheckReport", policy: BoxPolicy) -> None:
    counted = f"{report.boxes} boxes, {report.images} images, {report.seconds:.1f} s"
    console.say(counted if report.findings else f"{counted}: nothing wrong")
    if report.findings:
        console.show_table(
            ("finding", "count", f"policy {policy}", "first"),
            (_row(kind, found) for kind, found in report.findings.items()),
            text=(0, 2, 3),
        )


def _row(kind: str, found: "FindingSummary") -> tuple[str, ...]:
    from pipelines.data.findings import BY_POLICY

    actions = "\n".join(f"{count} {action}" for action, count in found.actions.items())
    name = kind if found.fault else f"{kind}\n(no fault)"
    place = min(found.first, os.path.relpath(found.first), key=len)
    return (
        name,
        str(found.count),
        actions if kind in BY_POLICY else "-",
        f"{place}\n{found.detail}".rstrip(),
    )
