"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.config import Precision

AsJson = Annotated[
    bool, typer.Option("--json", metavar="", help="Print one JSON object on stdout, alone.")
]
Device = Annotated[
    str,
    typer.Option(help="auto (CUDA when there is one), cpu, cuda, cuda:1, ...", metavar="DEVICE"),
]
PrecisionName = Annotated[
    Precision, typer.Option("--precision", help="Of convolutions and matrix products.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Images a pass.")]
Classes = Annotated[
    str,
    typer.Option(
        metavar="GROUP|FILE",
        help="all, seen, novel, other (boxes but no classifier row), detection (seen and other), "
        "or a file of class ids.",
    ),
]
Checkpoint = Annotated[
    Path,
    typer.Option(help="A detector made by wtn train, or by wtn export --format directory."),
]
Head = Annotated[
    Path | None,
    typer.Option(help="Its head, made by: wtn export-head; else computed from the checkpoint."),
]
