"""``wtn export-head``: classifier rows become the rows of a plain Faster R-CNN head."""

from pathlib import Path
from typing import Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson, Classes


def export_head(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A detector made by: wtn train")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")] = Path(
        "head.safetensors"
    ),
    classes: Classes = "all",
    classifier: Annotated[
        Path | None,
        typer.Option(help="Rows of another file in the same feature space, such as new classes."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Export one detection row for every class, offline: a matrix, a bias and a box layer.

    Example: `wtn export-head run/checkpoint.safetensors -o head.safetensors`
    """
    from pipelines.export import export_head  # imports torch, so only when it runs

    report = export_head(checkpoint, output, classes=classes, classifier=classifier)
    if as_json:
        console.emit_json(report)
        return
    groups = ", ".join(f"{count} {group}" for group, count in report.groups.items())
    console.show_facts(
        f"{report.head}",
        {
            "classes K": f"{report.classes} ({groups})",
            "width R": report.width,
            "method": report.method,
        },
    )
