"""``wtn benchmark data``: from a CSV of 12 million boxes, and from images, to batches."""

from functools import partial
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
Photos = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder, zip or tar of images to decode; without it, drawn JPEGs of 1024 x 768."
    ),
]
PhotosOnly = Annotated[
    bool, typer.Option("--photos-only", metavar="", help="Time the images alone, no boxes.")
]
Appetite = Annotated[
    float | None,
    typer.Option(min=1e-3, help="Images/s that your GPU trains on (tells it for 10, 50, 100)."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="The most processes that decode (one a processor).")
]
Latency = Annotated[
    float | None,
    typer.Option(
        min=0, metavar="MS", help="Also compare samplers where each read of --photos takes longer."
    ),
]


def data(
    rows: Rows = 12_200_000,
    images: Images = 1_740_000,
    classes: Classes = None,
    boxes: Boxes = None,
    runs: Runs = 3,
    compare_libraries: CompareLibraries = False,
    photos: Photos = None,
    photos_only: PhotosOnly = False,
    appetite: Appetite = None,
    workers: Workers = None,
    latency: Latency = None,
) -> None:
    """Time indexing, checking and iterating a box dataset, and decoding its images.

    Example: `wtn benchmark data --photos train.tar --appetite 60 --photos-only`
    """
    from pipelines.benchmarks.data import benchmark_data  # imports torch, so only when it runs
    from pipelines.benchmarks.feeding import APPETITES, benchmark_feeding

    time_feeding = partial(
        benchmark_feeding,
        photos or (),
        appetites=APPETITES if appetite is None else (appetite,),
        workers=workers,
        runs=runs,
        latency=None if latency is None else latency / 1000,
    )
    if photos_only:
        console.emit_json({"feeding": time_feeding()})
        return
    result = benchmark_data(
        rows=rows,
        images=images,
        classes=classes,
        boxes=boxes,
        runs=runs,
        compare_libraries=compare_libraries,
        time_feeding=time_feeding,
    )
    console.emit_json(result)
    if result.missed:
        raise RunError("; ".join(result.missed))
