"""The options of ``wtn predict``, in panels."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

LOOK_FOR = "What to look for"
OUTPUT = "What to write"


class OnError(StrEnum):
    """What to do with a picture that cannot be read."""

    STOP = "stop"
    SKIP = "skip"


Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGES",
        help="Pictures, folders of pictures, quoted patterns such as 'frames/**/*.jpg', or - for a "
        "list on stdin, one a line.",
        show_default=False,
    ),
]
ScoreThreshold = Annotated[
    float,
    typer.Option(min=0.0, max=1.0, rich_help_panel=LOOK_FOR, help="Report what scores above this."),
]
Thresholds = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=LOOK_FOR,
        help="CSV of LabelName, Threshold for classes with a threshold of their own.",
    ),
]
TopK = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", rich_help_panel=LOOK_FOR, help="Report at most N an image."),
]
AllLabels = Annotated[
    bool,
    typer.Option(
        "--all-labels",
        metavar="",
        rich_help_panel=LOOK_FOR,
        help="Report every class of an object, not one.",
    ),
]
NovelShift = Annotated[
    float,
    typer.Option(
        "--joint",
        "--novel-shift",
        metavar="LOGITS",
        rich_help_panel=LOOK_FOR,
        help="Let novel classes compete with seen ones: add this to their logits. Choose it by: "
        "wtn evaluate --joint --novel-shift",
    ),
]
Save = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        rich_help_panel=OUTPUT,
        help="Draw the boxes into this folder: seen blue, novel red.",
    ),
]
JsonLines = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE|-",
        rich_help_panel=OUTPUT,
        help="JSON lines, one image a line as soon as it is done; - for stdout, alone.",
    ),
]
Coco = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="COCO results, a JSON list."),
]
CocoAnnotations = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=OUTPUT,
        help="With --coco: the instances JSON whose ids to use; else FILE-instances.json is "
        "written beside.",
    ),
]
WhatOnError = Annotated[
    OnError,
    typer.Option(
        "--on-error",
        help="At a picture that cannot be read: stop, or skip it and end with exit code 3.",
    ),
]
