"""``wtn benchmark data``: from a CSV of 12 million boxes to batches."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.errors import RunError
from wtn_cli import console

Rows = Annotated[int, typer.Option(min=1, help="Boxes to draw.")]
Images = Annotated[int, typer.Option(min=1, help="Images to spread them over.")]
Classes = Annotated[Path | None, typer.Option(help="Class list; without it, 500 made-up ids.")]
Boxes = Annotated[
    Path | None, typer.Option(help="Measure this box CSV, of --classes, instead of a drawn one.")
]
Runs = Annotated[int, typer.Option(min=1, help="Runs of each step, each in a new process.")]
CompareLibraries = Annotated[
    bool,
    typer.Option(
        "--compare-libraries",
        metavar="",
        help="Read the file with csv, pyarrow, polars, pandas and duckdb too, where installed.",
    ),
]


def data(
    rows: Rows = 12_200_000,
    images: Images = 1_740_000,
    classes: Classes = None,
    boxes: Boxes = None,
    runs: Runs = 3,
    compare_libraries: CompareLibraries = False,
) -> None:
    """Time indexing, reopening, class balancing, checking and iterating a box dataset.

    Example: `wtn benchmark data --classes challenge-2018-class-descriptions-new.csv`
    """
    from pipelines.benchmarks.data import benchmark_data  # imports torch, so only when it runs

    result = benchmark_data(
        rows=rows,
        images=images,
        classes=classes,
        boxes=boxes,
        runs=runs,
        compare_libraries=compare_libraries,
    )
    console.emit_json(result)
    if result.missed:
        raise RunError("; ".join(result.missed))
