"""Pictures of a run: its losses, its learning rates, and what was evaluated on the way.

Shapes: n records.

Needs matplotlib, the extra ``plots``. Colours are told apart with any colour vision.
"""

import math
from collections.abc import Sized
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.drawing import COLOURS, FloatArray
from pipelines.figures import figure_file
from pipelines.training.history import History
from pipelines.training.run_folder import EVALUATION, LEARNING_RATES, LOSSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = 3  # panels of losses beside each other
_FEW = 10  # records, each of which is marked
_PANEL = (3.4, 2.3)  # inches
_SMOOTHED_SHARE = 0.05  # of all records, in the mean around each
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito, 2008
_MARKERS = "oDs^vP"
_TITLES = {"lr": "detector", "lr_transfer": "transfer network"}


def draw_history(history: History, folder: Path) -> list[Path]:
    """Draw what there is of a run; return the paths of the pictures.

    Args:
        history: Of the run.
        folder: Where ``losses.png``, ``learning-rates.png`` and, if anything was evaluated,
            ``evaluation.png`` go.
    """
    drawn = []
    if any(record.losses for record in history.records):
        draw_losses(history, folder / LOSSES)
        draw_learning_rates(history, folder / LEARNING_RATES)
        drawn = [folder / LOSSES, folder / LEARNING_RATES]
    if history.metrics:
        draw_evaluations(history, folder / EVALUATION)
        drawn.append(folder / EVALUATION)
    return drawn


def draw_losses(history: History, path: Path) -> None:
    """Draw one panel a loss, the sum first: each record pale, and the mean around it.

    The first records of a training are far above all others; the axis leaves out what is above
    three times the 90th percentile.
    """
    iterations = np.array([record.iteration for record in history.records])
    names = list(dict.fromkeys(name for record in history.records for name in record.losses))
    names.sort(key=lambda name: name != "loss")  # the sum first, the others as they come
    columns = min(_COLUMNS, len(names))
    rows = math.ceil(len(names) / columns)
    with figure_file(path, (_PANEL[0] * columns, _PANEL[1] * rows)) as figure:
        panels = figure.subplots(rows, columns, sharex=True, squeeze=False).flatten()
        for axes, name in zip(panels, names, strict=False):
            values = np.array([record.losses.get(name, math.nan) for record in history.records])
            _draw_loss(axes, iterations, values, "#222222" if name == "loss" else _COLOURS[0])
            title = "sum" if name == "loss" else name.removeprefix("loss_").replace("_", " ")
            axes.set_title(title, fontsize="medium")
        for axes in panels[len(names) :]:
            axes.set_visible(False)
        for axes in panels[max(0, len(names) - columns) : len(names)]:
            axes.tick_params(labelbottom=True)
        figure.supxlabel("iterations", fontsize="medium")


def draw_learning_rates(history: History, path: Path) -> None:
    """Draw the rate of each optimizer on a logarithmic axis."""
    with figure_file(path, (7.0, 3.6)) as figure:
        axes = figure.subplots()
        names = list(dict.fromkeys(n for record in history.records for n in record.learning_rates))
        for name, colour in zip(names, _COLOURS, strict=False):
            known = [record for record in history.records if name in record.learning_rates]
            axes.plot(
                [record.iteration for record in known],
                [record.learning_rates[name] for record in known],
                color=colour,
                marker=_marker(known),
                label=_TITLES.get(name, name),
            )
        axes.set(xlabel="iterations", ylabel="learning rate", yscale="log")
        _count_whole(axes)
        axes.grid(alpha=0.3, linewidth=0.5, which="both")
        axes.legend(fontsize="small")


def draw_evaluations(history: History, path: Path) -> None:
    """Draw each figure that was evaluated over the iterations; a ring marks the best."""
    with figure_file(path) as figure:
        axes = figure.subplots()
        for place, name in enumerate(history.metrics):
            _draw_metric(axes, history, name, place)
        axes.set(xlabel="iterations", ylabel="percent")
        _count_whole(axes)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3, linewidth=0.5)
        axes.legend(fontsize="small")


def smoothed(values: FloatArray) -> FloatArray:
    """Return the mean of each of ``[n]`` values and its neighbours, as many before as after it.

    They are 5 % of all values, fewer near the ends; what is not a number counts for nothing.
    """
    reach = int(_SMOOTHED_SHARE / 2 * len(values))
    known = np.isfinite(values)
    sums, counts = (
        np.concatenate([[0.0], np.cumsum(each)]) for each in (np.where(known, values, 0.0), known)
    )
    place = np.arange(len(values))
    reaches = np.minimum(reach, np.minimum(place, place[::-1]))
    first, last = place - reaches, place + reaches + 1
    total, count = sums[last] - sums[first], counts[last] - counts[first]
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _draw_loss(
    axes: "Axes", iterations: NDArray[np.int64], values: FloatArray, colour: str
) -> None:
    marker = _marker(values)
    axes.plot(iterations, values, color=colour, alpha=0.3, linewidth=0.8)
    axes.plot(iterations, smoothed(values), color=colour, linewidth=1.6, marker=marker)
    highest = min(1.05 * float(np.nanmax(values)), 3 * float(np.nanpercentile(values, 90)))
    axes.set_ylim(0, highest or 1.0)
    axes.grid(alpha=0.3, linewidth=0.5)
    axes.tick_params(labelsize="small")
    _count_whole(axes)


def _marker(values: Sized) -> str | None:
    """Return what shows a few points, of which a line alone would show little or nothing."""
    return "o" if len(values) <= _FEW else None


def _draw_metric(axes: "Axes", history: History, name: str, place: int) -> None:
    measured = history.measured(name)
    colour = COLOURS.get(name.partition("_")[0], _COLOURS[place % len(_COLOURS)])
    best = history.best(name)
    assert best is not None  # the name comes from the evaluations
    top = 100 * best.metrics[name]
    axes.plot(
        [found.iteration for found in measured],
        [100 * found.metrics[name] for found in measured],
        color=colour,
        marker=_MARKERS[place % len(_MARKERS)],
        markersize=4,
        clip_on=False,
        label=f"{name.replace('_', ' ')}, best {top:.2f} at {best.iteration}",
    )
    axes.plot(
        [best.iteration], [top], "o", color=colour, markersize=11, fillstyle="none", clip_on=False
    )


def _count_whole(axes: "Axes") -> None:
    """Let the ticks of the iterations be whole numbers, also of a few of them."""
    from matplotlib.ticker import MaxNLocator

    first, last = axes.get_xlim()
    if last - first < 1:  # of a single iteration, between fractions of one
        axes.set_xlim(math.floor(first - 0.5), math.ceil(last + 0.5))
    axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
