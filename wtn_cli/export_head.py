"""``wtn export-head``: classifier rows become the rows of a plain Faster R-CNN head."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipelines.config import HeadPrecision, NeighborSettings, RowSpaceName
from pipelines.errors import ConfigError
from wtn_cli import console
from wtn_cli.options import AsJson, Classes

if TYPE_CHECKING:
    from pipelines.export import ExportReport

NEIGHBORS = "What classes without boxes borrow"

Checkpoint = Annotated[
    Path, typer.Argument(metavar="CHECKPOINT", help="A detector made by: wtn train")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Classifier = Annotated[
    Path | None,
    typer.Option(help="Rows of another file in the same feature space, such as new classes."),
]
Precision = Annotated[
    HeadPrecision,
    typer.Option(
        help="How class rows are stored: float16 takes half of the space, int8 a quarter."
    ),
]
Neighbors = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How many seen classes each borrows from: by default 1 (faster-rcnn), 10 (lsda) "
        "or 5 (transfer networks), and all with softmax weights or --similarity.",
        rich_help_panel=NEIGHBORS,
    ),
]
NeighborShare = Annotated[
    float | None,
    typer.Option(
        help="How much of a row is borrowed, above 0 to 1, such as 0.3. Transfer networks only, "
        "which borrow nothing without it.",
        rich_help_panel=NEIGHBORS,
    ),
]
NeighborMetric = Annotated[
    Literal["cosine", "l2"] | None,
    typer.Option(help="How classifier rows are compared.", rich_help_panel=NEIGHBORS),
]
NeighborRows = Annotated[
    RowSpaceName | None,
    typer.Option(
        metavar="SPACE",
        help="What is compared: raw rows, standardized per channel, or normalized to length 1.",
        rich_help_panel=NEIGHBORS,
    ),
]
NeighborWeights = Annotated[
    Literal["uniform", "softmax"] | None,
    typer.Option(
        help="softmax: in proportion to exp(similarity / (temperature * spread)), a proxy of "
        "visual similarity that looks at no image. With --similarity: for classes without images.",
        rich_help_panel=NEIGHBORS,
    ),
]
Temperature = Annotated[
    float | None,
    typer.Option(
        min=1e-6,
        help="Of the softmax, in units of the spread of a class's similarities [default: 1].",
        rich_help_panel=NEIGHBORS,
    ),
]
NeighborTable = Annotated[
    Path | None,
    typer.Option(
        help="CSV of LabelName, NeighborName (ids), or a novel class file of the official "
        "release; other classes have computed neighbours.",
        rich_help_panel=NEIGHBORS,
    ),
]
NeighborClasses = Annotated[
    Path | None,
    typer.Option(
        help="The class file whose rows such a table counts (clsnet_ind_common): the release's "
        "500 challenge classes.",
        rich_help_panel=NEIGHBORS,
    ),
]
Similarity = Annotated[
    Path | None,
    typer.Option(
        help="Borrow in proportion to how images look to the classifier; made by: wtn similarity",
        rich_help_panel=NEIGHBORS,
    ),
]


def export_head(
    checkpoint: Checkpoint,
    output: Output = Path("head.safetensors"),
    classes: Classes = "all",
    classifier: Classifier = None,
    precision: Precision = "float32",
    neighbors: Neighbors = None,
    neighbor_share: NeighborShare = None,
    neighbor_metric: NeighborMetric = None,
    neighbor_rows: NeighborRows = None,
    neighbor_weights: NeighborWeights = None,
    temperature: Temperature = None,
    neighbor_table: NeighborTable = None,
    neighbor_classes: NeighborClasses = None,
    similarity: Similarity = None,
    as_json: AsJson = False,
) -> None:
    """Export one detection row for every class, offline: a matrix, a bias and a box layer.

    Example: `wtn export-head run/checkpoint.safetensors -o head.safetensors`
    """
    from pipelines.export import export_head  # imports torch, so only when it runs

    given = {
        "count": neighbors,
        "share": neighbor_share,
        "metric": neighbor_metric,
        "rows": neighbor_rows,
        "weights": neighbor_weights,
        "temperature": temperature,
    }
    report = export_head(
        checkpoint,
        output,
        classes=classes,
        classifier=classifier,
        neighbors=_settings(given),
        neighbor_table=neighbor_table,
        neighbor_classes=neighbor_classes,
        similarity=similarity,
        precision=precision,
    )
    if as_json:
        console.emit_json(report)
        return
    groups = ", ".join(f"{count} {group}" for group, count in report.groups.items())
    console.show_facts(
        f"{report.head}",
        {
            "classes K": f"{report.classes} ({groups})",
            "width R": report.width,
            "file": f"{report.megabytes:.3g} MB, rows in {report.precision}",
            "method": report.method,
            "neighbours": _describe_neighbors(report) or "-",
        },
    )


def _settings(given: dict[str, Any]) -> NeighborSettings | None:
    """Return the settings of the flags that were given, or None if none was."""
    if given["temperature"] is not None and not math.isfinite(given["temperature"]):
        raise ConfigError("--temperature must be a finite number")
    if given["share"] is not None and not 0 < given["share"] <= 1:
        raise ConfigError(
            f"--neighbor-share must be above 0 and at most 1, not {given['share']:g}",
            mend="Leave it out to borrow nothing.",
        )
    chosen = {key: value for key, value in given.items() if value is not None}
    return NeighborSettings(**chosen) if chosen else None


def _describe_neighbors(report: "ExportReport") -> str:
    """Say in one line which rules chose neighbours, how many these are, and what they lend."""
    used = report.neighbors
    how = {"images": ": " + _lenders(used, "most alike")}
    if "metric" in used:
        how["rows"] = f": {_lenders(used, 'nearest')} by {used['metric']} of {used['rows']} rows"
    if "temperature" in used:
        how["rows"] += f", softmax of temperature {used['temperature']:g}"
    rules = (f"{count} by {rule}{how.get(rule, '')}" for rule, count in report.borrowed.items())
    share = f", {used['share']:g} of each row" if "share" in used else ""
    return "; ".join(rules) + share


def _lenders(used: Mapping[str, Any], which: str) -> str:
    return "all seen classes" if used.get("count") is None else f"{used['count']} {which}"
