"""What the rows of a study came to: a table, its details, and a picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.study import paper
from pipelines.study.activations import ActivationNorms, activation_norms
from pipelines.study.neighborhoods import NeighborOverlap, by_chance, overlap_of
from pipelines.study.plots import Curve, draw_curves, draw_norms, draw_overlaps, draw_table
from pipelines.study.records import RowResult
from pipelines.study.runs import Row
from pipelines.study.studies import LOSS, SAMPLED, Study
from pipelines.study.tables import Metric, Table, TableRow
from pipelines.study.worlds import NOVEL_AP50, NOVEL_AR50, SEEN_AP50

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


@dataclass(frozen=True)
class Findings:
    """What a study found.

    Args:
        table: Its rows.
        details: Of each row by name, as JSON values; each seed tells ``seconds`` of its training
            and its ``machine``, which is empty where it is not known.
        draw: Writes its picture, a PNG file; needs matplotlib.
        note: What to know about its figures beside the paper's.
    """

    table: Table
    details: Mapping[str, Any]
    draw: Callable[[Path], None]
    note: str | None = None


def find(study: Study, groups: Sequence[VariantRows]) -> Findings:
    """Gather what the finished rows of a study hold.

    Args:
        study: What is asked.
        groups: The finished rows, those of each variant together.
    """
    if study.kind == "norms":
        return _find_norms(study, groups)
    if study.kind == "overlaps":
        return _find_overlaps(study, groups)
    return _find_detection(study, groups)


def _find_detection(study: Study, groups: Sequence[VariantRows]) -> Findings:
    results = [[result for row in rows if (result := row.result())] for rows in groups]
    table_rows = []
    for rows, found in zip(groups, results, strict=True):
        values = {m.name: tuple(r.metrics[m.name] for r in found) for m in DETECTION}
        values[LOSS] = tuple(r.loss_classifier for r in found)
        table_rows.append(_table_row(study, rows, values))
    table = Table(study.name, (*DETECTION, TRAINING_LOSS), tuple(table_rows))
    draw = partial(draw_table, Table(study.name, DETECTION, table.rows))
    if study.kind == "lengths":
        draw = partial(draw_curves, _curves(groups, table), DETECTION[:2], logarithmic=True)
    seeds = [[_as_json(result) for result in found] for found in results]
    return Findings(table, _details(groups, seeds), draw)


def _as_json(result: RowResult) -> dict[str, Any]:
    return {
        "metrics": dict(result.metrics),
        "loss_classifier": result.loss_classifier,
        "seconds": result.seconds,
        "machine": dict(result.machine),
    }


def _table_row(
    study: Study, rows: VariantRows, values: Mapping[str, tuple[float, ...]]
) -> TableRow:
    variant = rows[0].variant
    return TableRow(variant.name, variant.title, values, study.paper.get(variant.name, {}))


def _details(
    groups: Sequence[VariantRows], seeds: Sequence[Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    """Return what sets each variant apart, and the figures of each of its seeds."""
    return {
        rows[0].variant.name: {
            "changes": rows[0].variant.changes(),
            "seeds": [{"seed": r.seed, **figures} for r, figures in zip(rows, found, strict=True)],
        }
        for rows, found in zip(groups, seeds, strict=True)
    }


def _curves(groups: Sequence[VariantRows], table: Table) -> list[Curve]:
    """Return a curve for each method, along the iterations of its rows."""
    by_method: dict[str, list[tuple[int, TableRow]]] = {}
    for rows, table_row in zip(groups, table.rows, strict=True):
        iterations = rows[0].settings().schedule.iterations
        method = rows[0].variant.settings["head.method"]
        by_method.setdefault(method, []).append((iterations, table_row))
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


def _find_norms(study: Study, groups: Sequence[VariantRows]) -> Findings:
    norms = [[activation_norms(row.checkpoint) for row in rows] for rows in groups]
    figures = [[one.figures() for one in found] for found in norms]
    seeds = [
        [_training(row) | figure for row, figure in zip(rows, found, strict=True)]
        for rows, found in zip(groups, figures, strict=True)
    ]
    table_rows = [
        _table_row(study, rows, {m.name: tuple(f[m.name] for f in found) for m in NORMS})
        for rows, found in zip(groups, figures, strict=True)
    ]
    pooled = {
        rows[0].variant.title: ActivationNorms(
            np.concatenate([one.seen for one in found]),
            np.concatenate([one.novel for one in found]),
        )
        for rows, found in zip(groups, norms, strict=True)
    }
    table = Table(study.name, NORMS, tuple(table_rows))
    return Findings(table, _details(groups, seeds), partial(draw_norms, pooled))


def _find_overlaps(study: Study, groups: Sequence[VariantRows]) -> Findings:
    overlaps = [[overlap_of(row.checkpoint) for row in rows] for rows in groups]
    neighbors = overlaps[0][0].neighbors
    place = neighbors.index(min(paper.FIGURE4_NEIGHBORS, neighbors[-1]))
    shown = sorted({0, place // 2, place, len(neighbors) - 1})
    metrics = [Metric(f"k{neighbors[i]}", f"of {neighbors[i]} nearest", decimals=1) for i in shown]
    metrics.append(Metric(SAMPLED, f"of {neighbors[place]} nearest, 20 classes"))
    table_rows = []
    for rows, found in zip(groups, overlaps, strict=True):
        values = {f"k{neighbors[i]}": tuple(float(o.mean[i]) for o in found) for i in shown}
        values[SAMPLED] = tuple(float(o.sampled_mean[place]) for o in found)
        table_rows.append(_table_row(study, rows, values))
    means = {
        rows[0].variant.title: NeighborOverlap.mean_of(found)
        for rows, found in zip(groups, overlaps, strict=True)
    }
    names = [rows[0].variant for rows in groups]
    in_text = {v.title: paper.FIGURE4[v.name] for v in names if v.name in paper.FIGURE4}
    table = Table(study.name, tuple(metrics), tuple(table_rows))
    seeds = [
        [_training(row) | overlap.as_dict() for row, overlap in zip(rows, found, strict=True)]
        for rows, found in zip(groups, overlaps, strict=True)
    ]
    draw = partial(draw_overlaps, means, paper=in_text)
    return Findings(table, _details(groups, seeds), draw, _about_overlaps(means, place))


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


def _training(row: Row) -> dict[str, Any]:
    return {"seconds": row.log().seconds, "machine": dict(row.training_record().machine)}
