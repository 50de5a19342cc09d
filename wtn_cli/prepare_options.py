"""Options that the subcommands of ``wtn prepare`` share."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Policy = Literal["error", "clip", "drop", "keep"]

Output = Annotated[Path, typer.Option("--output", "-o", help="The index to write.")]
Boxes = Annotated[
    list[Path] | None, typer.Option(help="Open Images box CSV; may be given several times.")
]
Classes = Annotated[Path, typer.Option(help="Class list; sets the order of the classes.")]
ImageLabels = Annotated[
    list[Path] | None,
    typer.Option(help="CSV of verified image-level labels; without it, boxes are exhaustive."),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(help="Folder, zip or tar of `<ImageID>.jpg`; may be given several times."),
]
ImageSizes = Annotated[
    Path | None,
    typer.Option(help="Lines of `ImageID,height,width`; without it, the images tell their sizes."),
]
BoxPolicy = Annotated[
    Policy,
    typer.Option("--policy", metavar="POLICY", help="Bad boxes: error, clip, drop or keep."),
]
OnlyImages = Annotated[
    Path | None,
    typer.Option(help="Keep the images of this list: ids, or file names, in the first column."),
]
ExcludeImages = Annotated[Path | None, typer.Option(help="Leave out the images of this list.")]
AnyCounts = Annotated[
    bool, typer.Option("--any-counts", metavar="", help="Accept other counts than the official.")
]
Force = Annotated[bool, typer.Option("--force", metavar="", help="Replace what is there.")]
