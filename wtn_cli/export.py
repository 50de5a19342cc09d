"""``wtn export``: a detector in the form that another program takes, checked on real images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.exporters.formats import APPROXIMATE_SOFTMAX, FORMATS, FormatName
from wtn_cli import console
from wtn_cli.options import AsJson, Head

if TYPE_CHECKING:
    from pipelines.export_detector import ExportDetectorReport


def _list_formats(wanted: bool) -> None:
    if wanted:
        rows = [(name, form.target, form.exactness) for name, form in FORMATS.items()]
        rough = APPROXIMATE_SOFTMAX
        rows.append(("torchvision --approx-softmax", rough.target, rough.exactness))
        console.show_table(("format", "for", "exactness"), rows, text=(0, 1, 2))
        raise typer.Exit


Checkpoint = Annotated[
    Path,
    typer.Argument(
        metavar="CHECKPOINT",
        help="A detector made by wtn train, or a folder made by wtn export --format directory.",
    ),
]
Form = Annotated[
    FormatName,
    typer.Option(
        "--format", "-f", metavar="FORMAT", help=f"{', '.join(FORMATS)}; see --list-formats."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The file or folder to write.",
        show_default="detector.onnx, detector.pt2 or detector-FORMAT",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Picture, folder or archive that the export is compared on; may be given again.",
        show_default="those of training",
    ),
]
Count = Annotated[int, typer.Option(min=1, help="How many of the images.")]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Replace what is there.")]
ApproxSoftmax = Annotated[
    bool,
    typer.Option(
        "--approx-softmax",
        metavar="",
        help="With --format torchvision: for stock torchvision, whose softmax lowers every score; "
        "prints by how much.",
    ),
]
ListFormats = Annotated[
    bool,
    typer.Option(
        "--list-formats",
        callback=_list_formats,
        is_eager=True,
        metavar="",
        help="Show the formats, and which are exact.",
    ),
]


def export(
    checkpoint: Checkpoint,
    form: Form,
    head: Head = None,
    output: Output = None,
    images: Images = None,
    count: Count = 4,
    approx_softmax: ApproxSoftmax = False,
    force: Force = False,
    list_formats: ListFormats = False,
    as_json: AsJson = False,
) -> None:
    """Write a detector for another program, run what was written, and compare it on real images.

    Nothing is left behind unless it agrees with its source.

    Example: `wtn export run/checkpoint.safetensors --head head.safetensors --format onnx`
    """
    from pipelines.export_detector import export_detector  # imports torch, so only when it runs

    place = output or Path(FORMATS[form].file or f"detector-{form}")
    with console.progress("export") as bar:
        report = export_detector(
            checkpoint,
            place,
            form,
            head=head,
            images=images or (),
            count=count,
            overwrite=force,
            approximate_softmax=approx_softmax,
            on_step=lambda step: bar.phase(step, 0, 1),
        )
    if as_json:
        console.emit_json(report)
    else:
        _show(report)


def _show(report: "ExportDetectorReport") -> None:
    found = report.agreement
    compared = "softmax scores" if found.deflation else "scores"
    images = len(report.images) - found.left_out
    groups = ", ".join(f"{count} {group}" for group, count in report.groups.items())
    facts = {
        "format": f"{report.format} ({report.exactness})",
        "classes": f"{report.classes} ({groups})",
        "size": f"{report.bytes / 1e6:.1f} MB",
        "checked on": f"{found.count} {found.compared} in {images} images",
        f"{compared} differ by": f"at most {found.scores:.2g}",
        "boxes differ by": f"at most {found.boxes:.2g} pixels",
    }
    if found.unmatched:
        facts["without counterpart"] = str(found.unmatched)
    console.show_facts(str(report.output), facts)
    if found.deflation:
        console.say("\nWhat the softmax makes of the highest score of a RoI:")
        rows = [
            (f"{d.at_least:g} to {d.below:g}", str(d.count), f"{d.sigmoid:.2g}", f"{d.softmax:.2g}")
            for d in found.deflation
        ]
        console.show_table(("sigmoid", "RoIs", "mean sigmoid", "mean softmax"), rows)
