"""Pictures of the studies: dots of a table, curves over lengths, overlaps and activation norms.

Needs matplotlib, the extra ``plots``; without it every picture raises ConfigError. Colours are told
apart with any colour vision, and every series has a mark or a line style of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.data.tables import FloatArray
from pipelines.drawing import COLOURS
from pipelines.figures import figure_file, require_matplotlib
from pipelines.study.activations import ActivationNorms
from pipelines.study.neighborhoods import NeighborOverlap
from pipelines.study.paper import FIGURE4_CLASSES, FIGURE4_NEIGHBORS
from pipelines.study.tables import Metric, Summary, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_METHOD_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_METRIC_COLOURS = (COLOURS["seen"], COLOURS["novel"], "#E69F00")  # Okabe and Ito, 2008, for a third
_MARKERS = "oDs^vPX"
_LINES = ("-", "--", "-.", ":")
_GREY = "#666666"
_SHOWN_NEIGHBORS = (10, 20, 50, 100, 200, 500)  # ticks that leave room for each other
_HALF_BOXES = 0.3  # the boxes of a group's seeds reach about so far to either side of its place
_HALF_BAND = 0.16  # of a table's row, between its outermost metrics


@dataclass(frozen=True)
class Curve:
    """One method's figures over the iterations of training.

    Args:
        title: Of the method.
        positions: Iterations, ascending.
        values: By metric, for each position one figure a seed; none where it was not measured.
    """

    title: str
    positions: tuple[float, ...]
    values: Mapping[str, tuple[tuple[float, ...], ...]]


def draw_table(table: Table, path: Path, *, heading: str = "") -> None:
    """Draw a dot for each mean with the standard deviation over seeds, one line a method.

    A second panel has the paper's figures as hollow marks, if it has any. All figures are percent;
    there are at most three metrics.
    """
    require_matplotlib()
    with_paper = any(table.has_paper(metric) for metric in table.metrics)
    height = 1.5 + 0.34 * len(table.rows)
    with figure_file(path, (8.0 if with_paper else 6.0, height), heading) as figure:
        panels = figure.subplots(1, 1 + with_paper, sharey=True, squeeze=False)[0]
        for place, metric in enumerate(table.metrics):
            _draw_metric(panels, table, place, metric)
        titles = [row.title for row in table.rows]
        panels[0].set_yticks(range(len(titles)), titles)
        panels[0].set_ylim(len(titles) - 0.5, -0.5)  # the first row on top
        for axes in panels:
            axes.set_xlabel("percent")
            axes.grid(axis="x", alpha=0.3, linewidth=0.5)
            for line in range(1, len(titles)):
                axes.axhline(line - 0.5, color="0.9", linewidth=0.6, zorder=0)
        if with_paper:
            panels[0].set_title("here")
            panels[1].set_title("in the paper")
        _key_below(figure, panels[0], _key_of(table.seeds), len(table.metrics))


def draw_curves(
    curves: Sequence[Curve], metrics: Sequence[Metric], path: Path, *, heading: str = ""
) -> None:
    """Draw the means of methods with bands of one standard deviation, one panel a metric.

    Args:
        curves: At most as many as there are colours, 7.
        metrics: The panels.
        path: A PNG file.
        heading: Above all panels.
    """
    require_matplotlib()
    with figure_file(path, (0.6 + 3.7 * len(metrics), 4.2), heading) as figure:
        panels = figure.subplots(1, len(metrics), squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            for place, curve in enumerate(curves):
                summaries = [Summary.of(values) for values in curve.values[metric.name]]
                mean = np.array([summary.mean for summary in summaries])
                spread = np.nan_to_num([summary.deviation for summary in summaries])
                _band(axes, place, curve.title, curve.positions, mean, spread)
            axes.set(title=metric.title, xlabel="iterations")
            axes.grid(alpha=0.3, linewidth=0.5)
            _space_by_ratio(axes, sorted({x for curve in curves for x in curve.positions}))
        panels[0].set_ylabel("percent")
        seeds = max(len(v) for curve in curves for m in curve.values.values() for v in m)
        _key_below(figure, panels[0], _key_of(seeds), min(len(curves), 2 * len(metrics)))


def draw_overlaps(
    overlaps: Mapping[str, NeighborOverlap],
    path: Path,
    paper: Mapping[str, float] | None = None,
    *,
    heading: str = "",
) -> None:
    """Draw how many of k neighbours are kept, over k, with 95 % confidence bands over classes.

    Args:
        overlaps: By title of the method; at most 7.
        path: A PNG file.
        paper: By title, how many of 100 neighbours stay in the paper; titles of ``overlaps``.
        heading: Above the panel.
    """
    require_matplotlib()
    with figure_file(path, (7.0, 4.8), heading) as figure:
        axes = figure.subplots()
        for place, (title, overlap) in enumerate(overlaps.items()):
            share = 100 / np.array(overlap.neighbors)
            margin = np.nan_to_num(overlap.margin * share)
            _band(axes, place, title, overlap.neighbors, overlap.mean * share, margin)
        chance = next(iter(overlaps.values()))
        axes.plot(
            chance.neighbors,
            100 * chance.by_chance / np.array(chance.neighbors),
            color=_GREY,
            linestyle=":",
            label="unrelated rows",
        )
        _mark_paper(axes, list(overlaps), paper or {})
        _space_by_ratio(axes, [k for k in chance.neighbors if k in _SHOWN_NEIGHBORS])
        axes.set(
            xlabel=f"k nearest of {len(chance.counts) - 1} classes",
            ylabel="neighbours kept, percent of k",
        )
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3, linewidth=0.5)
        title = "mean over classes, and its 95 % confidence interval"
        _key_below(figure, axes, title, len(overlaps))


def draw_norms(
    norms: Mapping[str, Sequence[ActivationNorms]], path: Path, *, heading: str = ""
) -> None:
    """Draw the norms of hidden activations, one panel a method, one box a seed, seen beside novel.

    A box holds the middle half of the classes and its line the median; whiskers reach 1.5 times
    the box's height, and classes beyond them are dots. Means and variances over classes stand
    below, each as its mean over seeds.

    Args:
        norms: By title of the method, of each seed.
        path: A PNG file.
        heading: Above all panels.
    """
    require_matplotlib()
    with figure_file(path, (1.0 + 3.0 * len(norms), 4.2), heading) as figure:
        panels = figure.subplots(1, len(norms), sharey=True, squeeze=False)[0]
        for axes, (title, found) in zip(panels, norms.items(), strict=True):
            _draw_boxes(axes, found)
            axes.set_title(title)
            axes.grid(axis="y", alpha=0.3, linewidth=0.5)
        panels[0].set_ylabel("L2 norm of a class's hidden activations")
        panels[0].set_ylim(bottom=0)


def _draw_metric(panels: "Sequence[Axes]", table: Table, place: int, metric: Metric) -> None:
    """Draw one metric of all rows, a little above or below the others."""
    count, colour, marker = len(table.metrics), _METRIC_COLOURS[place], _MARKERS[place]
    offset = _HALF_BAND * (2 * place - count + 1) / max(count - 1, 1)
    lines = np.arange(len(table.rows)) + offset
    summaries = [row.summary(metric.name) for row in table.rows]
    panels[0].errorbar(
        [summary.mean for summary in summaries],
        lines,
        xerr=np.nan_to_num([summary.deviation for summary in summaries]),
        fmt=marker,
        color=colour,
        capsize=3,
        label=metric.title,
    )
    if len(panels) > 1:
        figures = [row.in_paper(metric.name) for row in table.rows]
        panels[1].plot(figures, lines, marker, color=colour, fillstyle="none")


def _band(
    axes: "Axes",
    place: int,
    title: str,
    positions: Sequence[float],
    mean: FloatArray,
    margin: FloatArray,
) -> None:
    """Draw one method's line with a band to either side, in the style of its place."""
    colour = _METHOD_COLOURS[place]
    axes.fill_between(positions, mean - margin, mean + margin, color=colour, alpha=0.2, linewidth=0)
    marker, line = _MARKERS[place], _LINES[place % len(_LINES)]
    axes.plot(
        positions, mean, color=colour, marker=marker, linestyle=line, markersize=5, label=title
    )


def _mark_paper(axes: "Axes", titles: Sequence[str], paper: Mapping[str, float]) -> None:
    """Add the paper's overlaps as hollow marks of the methods' colours."""
    hollow: dict[str, Any] = {"fillstyle": "none", "markersize": 10, "linestyle": "none"}
    for title in paper:
        place, share = titles.index(title), 100 * paper[title] / FIGURE4_NEIGHBORS
        colour, marker = _METHOD_COLOURS[place], _MARKERS[place]
        axes.plot(FIGURE4_NEIGHBORS, share, color=colour, marker=marker, **hollow)
    if paper:
        axes.plot(
            [], marker="o", color=_GREY, label=f"the paper, of {FIGURE4_CLASSES - 1}", **hollow
        )


def _draw_boxes(axes: "Axes", norms: Sequence[ActivationNorms]) -> None:
    """Draw the norms of seen and of novel classes, and write mean and variance below."""
    labels, figures = [], [of_seed.figures() for of_seed in norms]
    offsets = (np.arange(len(norms)) - (len(norms) - 1) / 2) * _HALF_BOXES * 2 / len(norms)
    for place, group in enumerate(("seen", "novel")):
        values, colour = [vars(of_seed)[group] for of_seed in norms], COLOURS[group]
        style: dict[str, Any] = {
            f"{part}props": {"color": colour} for part in ("box", "median", "whisker", "cap")
        }
        beyond = {"marker": ".", "markersize": 3, "markeredgecolor": colour}
        width = 1.6 * _HALF_BOXES / len(norms)
        axes.boxplot(values, positions=place + offsets, widths=width, flierprops=beyond, **style)
        mean, variance = (
            Summary.of(of_seed[f"{figure}_{group}"] for of_seed in figures).mean
            for figure in ("mean", "variance")
        )
        labels.append(f"{group}\nmean {mean:.3g}\nvariance {variance:.3g}")
    axes.set_xticks(range(len(labels)), labels)
    axes.set_xlim(-0.6, len(labels) - 0.4)


def _space_by_ratio(axes: "Axes", ticks: Sequence[float]) -> None:
    """Make the x axis logarithmic, with plain numbers at some of its positions."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:.10g}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())


def _key_of(seeds: int) -> str:
    """Say what is drawn of so many seeds."""
    return "mean and standard deviation over seeds" if seeds > 1 else "one seed"


def _key_below(figure: "Figure", axes: "Axes", title: str, columns: int) -> None:
    """Put the key of a panel below the whole figure; its title says what is drawn."""
    handles, labels = axes.get_legend_handles_labels()
    small = {"fontsize": "small", "title_fontsize": "small"}
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, title=title, **small)
