"""What the rows of a study came to: a table, its details, and a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pipelines.errors import RunError
from pipelines.study import paper
from pipelines.study.activations import ActivationNorms, activation_norms
from pipelines.study.neighborhoods import NeighborOverlap, by_chance, overlap_of
from pipelines.study.plots import Curve, draw_curves, draw_norms, draw_overlaps, draw_table
from pipelines.study.records import FailedRow, RowResult, all_failed
from pipelines.study.runs import Row
from pipelines.study.studies import LOSS, SAMPLED, Study
from pipelines.study.tables import Metric, Table, TableRow
from pipelines.study.workers import in_words
from pipelines.study.worlds import NOVEL_AP50, NOVEL_AR50, SEEN_AP50

FoundT = TypeVar("FoundT")
VariantRows = Sequence[Row]  # of one variant, in the order of the seeds; at least one
DETECTION = (
    Metric(SEEN_AP50, "seen AP50", "paper, OI-500"),
    Metric(NOVEL_AP50, "novel AP50", "paper, OI-57"),
    Metric(NOVEL_AR50, "novel AR50", "paper, VG-200"),
)
TRAINING_LOSS = Metric(LOSS, "loss", best="lowest", decimals=4)
NORMS = tuple(
    Metric(name, title, best=None, decimals=3)
    for name, title in (
        ("mean_seen", "mean, seen"),
        ("mean_novel", "mean, novel"),
        ("variance_seen", "variance, seen"),
        ("variance_novel", "variance, novel"),
        ("variance_ratio", "variance, novel / seen"),
    )
)


class Drawing(Protocol):
    """Draws the picture of a study."""

    def __call__(self, path: Path, *, heading: str) -> None:
        """Write a PNG file, with a heading above all panels."""


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Args:
        table: Its rows.
        details: Of each row by name, as JSON values; each seed tells ``seconds`` of its training
            and the ``machine`` that trained it, which is empty where it is not known.
        draw: Draws its picture; needs matplotlib.
        failed: Finished rows whose figures cannot be told.
        note: What to know about its figures beside the paper's.
    """

    table: Table
    details: Mapping[str, Any]
    draw: Drawing
    failed: tuple[FailedRow, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class _Measured(Generic[FoundT]):
    """A row, what was measured on it, and what the details tell of that and of its training."""

    row: Row
    found: FoundT
    told: Mapping[str, Any]


_Group = Sequence[_Measured[FoundT]]  # of one variant, in the order of the seeds; at least one


def find(study: Study, groups: Sequence[VariantRows]) -> Findings:
    """Gather what the finished rows of a study hold; a row that fails stops no other.

    Args:
        study: What is asked.
        groups: The finished rows, those of each variant together.

    Raises:
        RunError: If all rows fail.
    """
    if study.kind == "norms":
        return _find_norms(study, *_measure(groups, _norms_of))
    if study.kind == "overlaps":
        return _find_overlaps(study, *_measure(groups, _overlap_of))
    return _find_detection(study, *_measure(groups, _result_of))


def _measure(
    groups: Sequence[VariantRows], measure: Callable[[Row], _Measured[FoundT]]
) -> tuple[list[_Group[FoundT]], tuple[FailedRow, ...]]:
    """Return the groups with what was measured, without rows and groups that failed, and these."""
    kept, failed = [], []
    for rows in groups:
        group = []
        for row in rows:
            try:
                group.append(measure(row))
            except Exception as error:  # whatever it is, the other rows can go on
                failed.append(FailedRow(row.variant.name, row.seed, in_words(error)))
        kept.append(group)
    if not any(kept):
        raise all_failed(failed, groups[0][0].folder)
    return [group for group in kept if group], tuple(failed)


def _result_of(row: Row) -> _Measured[RowResult]:
    result = row.result()
    if result is None:
        raise RunError(
            "its files have changed since it was measured",
            where=row.folder / row.variant.name,
            mend="The same command measures it again.",
        )
    told = {
        "metrics": dict(result.metrics),
        "loss_classifier": result.loss_classifier,
        "evaluated_on": dict(result.machine),
    }
    return _Measured(row, result, _training(row, result.seconds) | told)


def _norms_of(row: Row) -> _Measured[ActivationNorms]:
    norms = activation_norms(row.checkpoint)
    return _Measured(row, norms, _training(row, row.log().seconds) | norms.figures())


def _overlap_of(row: Row) -> _Measured[NeighborOverlap]:
    overlap = overlap_of(row.checkpoint)
    return _Measured(row, overlap, _training(row, row.log().seconds) | overlap.as_dict())


def _training(row: Row, seconds: float) -> dict[str, Any]:
    return {"seconds": seconds, "machine": dict(row.training_record().machine)}


def _find_detection(
    study: Study, groups: Sequence[_Group[RowResult]], failed: tuple[FailedRow, ...]
) -> Findings:
    table_rows = []
    for group in groups:
        values = {m.name: tuple(one.found.metrics[m.name] for one in group) for m in DETECTION}
        values[LOSS] = tuple(one.found.loss_classifier for one in group)
        table_rows.append(_table_row(study, group, values))
    table = Table(study.name, (*DETECTION, TRAINING_LOSS), tuple(table_rows))
    draw = partial(draw_table, Table(study.name, DETECTION, table.rows))
    if study.kind == "lengths":
        draw = partial(draw_curves, _curves(groups, table), DETECTION[:2])
    return Findings(table, _details(groups), draw, failed)


def _table_row(
    study: Study, group: _Group[Any], values: Mapping[str, tuple[float, ...]]
) -> TableRow:
    variant = group[0].row.variant
    return TableRow(variant.name, variant.title, values, study.paper.get(variant.name, {}))


def _details(groups: Sequence[_Group[Any]]) -> dict[str, Any]:
    """Return what sets each variant apart, and the figures of each of its seeds."""
    return {
        group[0].row.variant.name: {
            "changes": group[0].row.variant.changes(),
            "seeds": [{"seed": one.row.seed, **one.told} for one in group],
        }
        for group in groups
    }


def _curves(groups: Sequence[_Group[RowResult]], table: Table) -> list[Curve]:
    """Return a curve for each method, along the iterations of its rows."""
    by_method: dict[str, list[tuple[int, TableRow]]] = {}
    for group, table_row in zip(groups, table.rows, strict=True):
        row = group[0].row
        point = row.settings().schedule.iterations, table_row
        by_method.setdefault(row.variant.settings["head.method"], []).append(point)
    curves = []
    for points in by_method.values():
        points.sort(key=lambda point: point[0])
        curves.append(
            Curve(
                title=points[0][1].title.partition(",")[0],
                positions=tuple(float(iterations) for iterations, _ in points),
                values={m.name: tuple(row.values[m.name] for _, row in points) for m in DETECTION},
            )
        )
    return curves


def _find_norms(
    study: Study,
    groups: Sequence[_Group[ActivationNorms]],
    failed: tuple[FailedRow, ...],
) -> Findings:
    table_rows = [
        _table_row(study, group, {m.name: tuple(one.told[m.name] for one in group) for m in NORMS})
        for group in groups
    ]
    norms = {group[0].row.variant.title: [one.found for one in group] for group in groups}
    table = Table(study.name, NORMS, tuple(table_rows))
    return Findings(table, _details(groups), partial(draw_norms, norms), failed)


def _find_overlaps(
    study: Study,
    groups: Sequence[_Group[NeighborOverlap]],
    failed: tuple[FailedRow, ...],
) -> Findings:
    neighbors = groups[0][0].found.neighbors
    place = neighbors.index(min(paper.FIGURE4_NEIGHBORS, neighbors[-1]))
    shown = sorted({0, place // 2, place, len(neighbors) - 1})
    metrics = [Metric(f"k{neighbors[i]}", f"of {neighbors[i]} nearest", decimals=1) for i in shown]
    metrics.append(Metric(SAMPLED, f"of {neighbors[place]} nearest, 20 classes"))
    table_rows = []
    for group in groups:
        found = [one.found for one in group]
        values = {f"k{neighbors[i]}": tuple(float(o.mean[i]) for o in found) for i in shown}
        values[SAMPLED] = tuple(float(o.sampled_mean[place]) for o in found)
        table_rows.append(_table_row(study, group, values))
    means = {
        group[0].row.variant.title: NeighborOverlap.mean_of([one.found for one in group])
        for group in groups
    }
    names = [group[0].row.variant for group in groups]
    in_text = {v.title: paper.FIGURE4[v.name] for v in names if v.name in paper.FIGURE4}
    table = Table(study.name, tuple(metrics), tuple(table_rows))
    draw = partial(draw_overlaps, means, paper=in_text)
    return Findings(table, _details(groups), draw, failed, _about_overlaps(means, place))


def _about_overlaps(means: Mapping[str, NeighborOverlap], place: int) -> str:
    """Tell how sure the means over classes are, and what they are if the rows are unrelated."""
    margins = ", ".join(f"{title} ± {found.margin[place]:.1f}" for title, found in means.items())
    overlap = next(iter(means.values()))
    kept = by_chance(paper.FIGURE4_NEIGHBORS, paper.FIGURE4_CLASSES)
    return (
        f"95 % confidence over classes, of {overlap.neighbors[place]} nearest: {margins}. "
        f"Of {len(overlap.counts)} classes, unrelated rows would keep "
        f"{overlap.by_chance[place]:.1f} of {overlap.neighbors[place]} neighbours; of the paper's "
        f"{paper.FIGURE4_CLASSES}, {kept:.1f} of {paper.FIGURE4_NEIGHBORS}."
    )
