"""Pictures of an evaluation: precision over recall, AP over frequency, scores of right and wrong.

Shapes: K classes, n detections.

Needs matplotlib, the extra ``plots``.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipelines.data.tables import FloatArray
from pipelines.drawing import COLOURS
from pipelines.figures import figure_file
from pipelines.metrics.average_precision import (
    PrecisionRecall,
    average_precision,
    precision_recall,
)
from pipelines.metrics.report import EvaluateReport
from pipelines.metrics.score_counts import EDGES, ScoreCounts

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_paths(folder: Path) -> list[Path]:
    """Return where the pictures of an evaluation go."""
    names = ("precision-recall", "average-precision-by-frequency", "scores")
    return [folder / f"{name}.png" for name in names]


def plot_report(report: EvaluateReport, folder: Path) -> list[Path]:
    """Draw all three pictures of an evaluation that kept what they need; return their paths.

    Args:
        report: Of a protocol with ``plotted`` classes.
        folder: Where ``precision-recall.png``, ``average-precision-by-frequency.png`` and
            ``scores.png`` go.
    """
    assert report.evaluated.scores is not None
    paths = plot_paths(folder)
    name_of, metrics = report.vocabulary.name_of, report.metrics
    curves = {
        name_of[class_id]: precision_recall(judged.score, judged.credit, judged.num_ground_truth)
        for class_id, judged in report.judgements.items()
        if judged.num_ground_truth > 0
    }
    plot_precision_recall(curves, paths[0])
    boxes = [metrics.num_ground_truth[class_id] for class_id in report.vocabulary.ids]
    precisions = [metrics.average_precision[class_id] for class_id in report.vocabulary.ids]
    plot_average_precision_by_frequency(
        np.array(boxes), np.array(precisions), report.groups, paths[1]
    )
    plot_scores(report.evaluated.scores, paths[2])
    return paths


def plot_precision_recall(curves: Mapping[str, PrecisionRecall], path: Path) -> None:
    """Draw the curve of each class, by name; the key tells the area below it.

    A class without detections has no curve, and stands in the key with an area of 0.
    """
    with _figure(path) as axes:
        for name, curve in curves.items():
            start = slice(0, 1)  # the first precision holds from recall 0 on
            recall = np.append(np.zeros_like(curve.recall[start]), curve.recall)
            precision = np.append(curve.precision[start], curve.precision)
            label = f"{name} ({100 * average_precision(curve):.1f})"
            axes.plot(recall, precision, label=label, linewidth=1.2)
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        if curves:
            axes.legend(
                title="class (AP50)", fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5)
            )


def plot_average_precision_by_frequency(
    boxes: FloatArray, average_precisions: FloatArray, groups: Sequence[str], path: Path
) -> None:
    """Draw one dot a class.

    Args:
        boxes: ``[K]``, ground-truth boxes; classes without any are left out.
        average_precisions: ``[K]``, AP50 as a fraction.
        groups: ``[K]``, ``seen``, ``novel``, ``other`` or ``unknown``.
        path: A PNG file.
    """
    from matplotlib.ticker import LogFormatter

    names = np.array(groups)
    with _figure(path) as axes:
        for group in dict.fromkeys(names[boxes > 0].tolist()):
            shown = (names == group) & (boxes > 0)
            axes.scatter(
                boxes[shown],
                100 * average_precisions[shown],
                s=14,
                alpha=0.7,
                linewidths=0,
                color=COLOURS.get(group, "tab:gray"),
                label=f"{group} ({int(shown.sum())})",
            )
        axes.set(
            xscale="log", xlabel="boxes of the class", ylabel="AP50 in percent", ylim=(-2, 102)
        )
        axes.xaxis.set_major_formatter(LogFormatter())  # 100, not 10 to the power of 2
        axes.xaxis.set_minor_formatter(LogFormatter())
        if (boxes > 0).any():
            axes.legend(fontsize="small")


def plot_scores(counts: ScoreCounts, path: Path) -> None:
    """Draw how many right and wrong detections have which score."""
    with _figure(path) as axes:
        for count, name, colour in (
            (counts.wrong, "wrong", "tab:red"),
            (counts.right, "right", "tab:blue"),
        ):
            axes.stairs(count, EDGES, color=colour, label=f"{name} ({count.sum()})")
        axes.set(yscale="log", xlabel="score", ylabel="detections", xlim=(0, 1))
        axes.legend(fontsize="small")


@contextmanager
def _figure(path: Path) -> "Iterator[Axes]":
    """Yield the axes of a figure that becomes a PNG file at the end."""
    with figure_file(path) as figure:
        axes = figure.subplots()
        axes.grid(alpha=0.3, linewidth=0.5)
        yield axes
