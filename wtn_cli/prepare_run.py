"""Run a preparation, and show what came out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wtn_cli import console

if TYPE_CHECKING:
    from pipelines.data.annotation_sources import AnnotationSource
    from pipelines.data.dataset import PrepareOptions
    from pipelines.data.split_plans import SplitPlan
    from pipelines.prepare import PrepareReport

_ALWAYS_SHOWN = frozenset({"images", "boxes", "classes"})  # other counts are if they are not 0


def run(
    source: "AnnotationSource",
    plans: "Sequence[SplitPlan]",
    options: "PrepareOptions",
    *,
    force: bool,
    as_json: bool,
) -> None:
    """Prepare splits of a dataset, and print a report for each."""
    from pipelines.prepare import prepare_splits

    with console.progress("prepare") as bar:
        reports = prepare_splits(source, plans, options, overwrite=force, on_progress=bar.phase)
    for report in reports:
        _note_unmatched(report)
    if as_json:
        console.emit_json(reports[0] if len(reports) == 1 else {"splits": reports})
        return
    for report in reports:
        _show(report)


def _note_unmatched(report: "PrepareReport") -> None:
    """Tell of listed images that are not there: a list with other ids would leave none out."""
    for listed, action in (("only", "keep"), ("exclude", "leave out")):
        if number := report.counts[f"unmatched_{listed}_images"]:
            console.note(
                f"Note: {report.output}: {number:,} of the images listed to {action} match no "
                "annotated image."
            )


def _show(report: "PrepareReport") -> None:
    counts = {**report.counts, **{k: v for k, v in report.notes.items() if isinstance(v, int)}}
    speed = f" ({report.boxes_per_second:,.0f} boxes/s)" if report.boxes_per_second else ""
    console.show_facts(
        f"{report.output}" + (" is up to date" if report.up_to_date else ""),
        {
            **{
                name.replace("_", " "): f"{number:,}"
                for name, number in counts.items()
                if number or name in _ALWAYS_SHOWN
            },
            "seconds": f"{report.seconds:.1f}{speed}",
            "peak memory": f"{report.peak_memory_bytes / 1e6:,.0f} MB",
            "index": f"{report.index_bytes / 1e6:,.1f} MB",
            "key": report.key,
        },
    )
