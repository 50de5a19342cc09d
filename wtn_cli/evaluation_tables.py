"""What ``wtn evaluate`` shows: one JSON object, or tables of at most 80 columns."""

from dataclasses import asdict, astuple
from typing import TYPE_CHECKING

from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.metrics.bootstrap import Interval
    from pipelines.metrics.report import EvaluateReport, GroupSummary

_COCO_PRECISIONS = ("AP", "AP50", "AP75", "APs", "APm", "APl")
_COCO_RECALLS = ("AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def emit(report: "EvaluateReport", *, as_json: bool) -> None:
    """Print the report, for a program or for a person."""
    if as_json:
        console.emit_json(as_facts(report))
    else:
        show(report)


def as_facts(report: "EvaluateReport") -> dict[str, object]:
    """Return the report by name."""
    protocol = report.protocol
    facts: dict[str, object] = {
        "metric": report.metrics.metric,
        "AP50": report.metrics.mean_average_precision(),
        "mean_recall": report.metrics.mean_recall(),
        "images": report.images,
        "groups": {row.group: row for row in report.by_group()},
        "per_class": dict(report.metrics.average_precision),
        "protocol": report.conditions,
        "detections": {
            **asdict(report.evaluated.detections),
            "judged": sum(report.metrics.num_detections.values()),
        },
    }
    if protocol.bootstrap:
        facts["bootstrap"] = {"samples": protocol.bootstrap, "seed": protocol.seed, "level": 0.95}
    if protocol.joint:
        facts["joint"] = {
            "detections_per_image": protocol.detections_per_image,
            "contested_images": report.evaluated.contested_images,
            **{row.group: row for row in report.joint()},
        }
    return facts


def show(report: "EvaluateReport") -> None:
    """Print a table of the groups, and one for each thing more that was asked for."""
    groups = report.by_group()
    console.say(f"{report.metrics.metric} on {report.images} images, in percent")
    console.show_table(
        ("group", "classes", "with boxes", "AP50", "recall"),
        (
            (
                _words(row.group),
                str(row.classes),
                str(row.with_ground_truth),
                *map(console.percent, (row.AP50, row.mean_recall)),
            )
            for row in groups
        ),
    )
    _show_coco(groups)
    for recall in report.evaluated.recalls:
        _show_recall(recall.k, groups)
    if report.protocol.joint:
        _show_joint(report)
    if report.protocol.bootstrap:
        _show_intervals(report, groups)


def _show_coco(groups: "list[GroupSummary]") -> None:
    figures = {_words(row.group): asdict(row.coco) for row in groups if row.coco is not None}
    for names in (_COCO_PRECISIONS, _COCO_RECALLS) if figures else ():
        rows = (
            (group, *(console.percent(of_group[name]) for name in names))
            for group, of_group in figures.items()
        )
        console.show_table(("group", *names), rows)


def _show_recall(k: int, groups: "list[GroupSummary]") -> None:
    console.say(f"AR@{k}: boxes found by the {k} best detections of each image")
    rows = [(_words(row.group), row.recall_at[k]) for row in groups]
    console.show_table(
        ("group", "macro, detected classes", "macro, all classes", "micro"),
        (
            (group, *map(console.percent, (at.macro_released, at.macro_strict, at.micro)))
            for group, at in rows
        ),
    )


def _show_joint(report: "EvaluateReport") -> None:
    limit = report.protocol.detections_per_image
    console.say(
        f"all classes in one competition, or each group alone, for the {limit} best an image"
    )
    console.show_table(
        ("group", "AP50 joint", "AP50 alone", "recall joint", "recall alone"),
        (
            (
                _words(row.group),
                *(console.percent(x) for x in (*astuple(row.AP50), *astuple(row.mean_recall))),
            )
            for row in report.joint()
        ),
    )
    if not report.evaluated.contested_images:
        console.say(
            f"no image has more than {limit} detections, so nobody competes: joint is alone"
        )


def _show_intervals(report: "EvaluateReport", groups: "list[GroupSummary]") -> None:
    console.say(f"95 % intervals, from {report.protocol.bootstrap} bootstrap samples of the images")
    ks = report.protocol.recall_at
    columns = ("group", "AP50", "recall", *(f"AR@{k} macro" for k in ks))
    rows, unreliable = [], []
    for row in groups:
        at = [row.recall_at[k].intervals for k in ks]
        strict = [None if intervals is None else intervals["macro_strict"] for intervals in at]
        figures = (row.AP50_interval, row.mean_recall_interval, *strict)
        rows.append((_words(row.group), *map(_interval, figures)))
        if any(interval is not None and interval.is_unreliable for interval in figures):
            unreliable.append(_words(row.group))
    console.show_table(columns, rows)
    if unreliable:
        console.say("the samples' bias exceeds their standard error: few boxes a class; such")
        console.say(f"intervals are unreliable: {', '.join(unreliable)}")


def _words(group: str) -> str:
    return group.replace("_", " ")


def _interval(interval: "Interval | None") -> str:
    if interval is None:
        return "-"
    return f"{console.percent(interval.low)} to {console.percent(interval.high)}"
