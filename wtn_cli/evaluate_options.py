"""The options of ``wtn evaluate``, in panels."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.config import Metric, Precision

TRUTH = "The ground truth"
DETECTOR = "A detector"
FILE = "Or a file of detections"
SCORING = "How to score"
OUTPUT = "What to write"

Boxes = Annotated[
    Path,
    typer.Option(
        rich_help_panel=TRUTH, help="Open Images box CSV, or an index made by: wtn prepare"
    ),
]
ImageLabels = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=TRUTH,
        help="Verified image-level labels CSV; without it, boxes are exhaustive.",
    ),
]
Hierarchy = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=TRUTH,
        help="Hierarchy JSON; expands boxes and labels, and tells novel classes above seen ones.",
    ),
]
Checkpoint = Annotated[
    Path | None, typer.Option(rich_help_panel=DETECTOR, help="Made by: wtn train")
]
Head = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=DETECTOR,
        help="Made by: wtn export-head; else computed from the checkpoint. Beside --predictions "
        "it tells the groups.",
    ),
]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="PATH",
        rich_help_panel=DETECTOR,
        help="Folder, zip or tar of `<ImageID>.jpg`, several times if needed; an index may know "
        "its own.",
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, rich_help_panel=DETECTOR, help="Images a pass (4).")
]
PrecisionName = Annotated[
    Precision | None,
    typer.Option(
        "--precision",
        rich_help_panel=DETECTOR,
        help="Of convolutions and matrix products (float32).",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(metavar="DEVICE", rich_help_panel=DETECTOR, help="auto, cpu, cuda, ... (auto)."),
]
Predictions = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=FILE,
        help="CSV of ImageID, LabelName, Score, XMin, XMax, YMin, YMax.",
    ),
]
SeenClasses = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=FILE, help="Without --head: class file of the seen; others are novel."
    ),
]
ImageSizes = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=FILE,
        help="WIDTHxHEIGHT, or a sizes file, for metrics that count in pixels (not oid).",
    ),
]
MetricName = Annotated[
    Metric,
    typer.Option(
        metavar="METRIC",
        rich_help_panel=SCORING,
        help="oid (Open Images challenge), aewtn-release (the paper's code) or coco.",
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="GROUP|FILE",
        rich_help_panel=SCORING,
        help="Detect and score only these: all, seen, novel, other, detection, or a file.",
    ),
]
GroupOfWeight = Annotated[
    float | None,
    typer.Option(min=0.0, rich_help_panel=SCORING, help="Worth of a group-of box under oid (1)."),
]
DetectionsPerImage = Annotated[
    int | None,
    typer.Option(
        "--max-detections",
        min=1,
        rich_help_panel=SCORING,
        help="Count so many an image (run's setting; all of a file).",
    ),
]
RecallAt = Annotated[
    list[int] | None,
    typer.Option(
        min=1,
        metavar="K",
        rich_help_panel=SCORING,
        help="Report AR@K of the K best of each image; several times if needed.",
    ),
]
Joint = Annotated[
    bool,
    typer.Option(
        "--joint",
        metavar="",
        rich_help_panel=SCORING,
        help="Let novel classes compete with seen ones, and report both beside each alone; a file "
        "needs --max-detections.",
    ),
]
NovelShift = Annotated[
    float | None,
    typer.Option(
        metavar="LOGITS",
        rich_help_panel=SCORING,
        help="With --joint, of a detector: add this to the logits of novel classes (0).",
    ),
]
Bootstrap = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        rich_help_panel=SCORING,
        help="95 % intervals from N samples of the images; 2 or more, or 0 for none.",
    ),
]
Seed = Annotated[
    int | None, typer.Option(min=0, rich_help_panel=SCORING, help="Of --bootstrap (0).")
]
PerClass = Annotated[
    Path | None, typer.Option(rich_help_panel=OUTPUT, help="A CSV with one row a class.")
]
Plots = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=OUTPUT,
        help="Pictures: precision over recall, AP by frequency, scores.",
    ),
]
PlotClass = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CLASS",
        rich_help_panel=OUTPUT,
        help="With --plots: id or name, several times if needed; else the eight with most boxes.",
    ),
]
SavePredictions = Annotated[
    Path | None,
    typer.Option(rich_help_panel=OUTPUT, help="The detections as a challenge CSV."),
]
