"""A picture of latency, post-processing and memory over the number of classes.

Needs matplotlib, the extra ``plots``.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.benchmarks.inference_result import InferenceBenchmark
from pipelines.figures import figure_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (11.0, 3.8)  # inches
_COLOURS = {"ours": "tab:blue", "torchvision": "tab:red"}


def plot_inference(result: InferenceBenchmark, path: Path) -> None:
    """Draw three panels, ours beside torchvision's, to a PNG file."""
    setup = result.setup
    heading = (
        f"{setup.backbone}, {setup.size} px, {setup.precision}, {setup.device}, "
        f"{setup.threads} threads"
    )
    panels = {
        "seconds an image": {
            "ours": {k: one.median_seconds for k, one in result.ours.items()},
            "torchvision": {k: one.median_seconds for k, one in result.torchvision.items()},
        },
        "seconds of post-processing the same logits": {
            "ours": {k: one.ours for k, one in result.postprocess.items()},
            "torchvision": {k: one.torchvision for k, one in result.postprocess.items()},
        },
        "peak memory in GB": {
            name: {k: peak / 1e9 for k, peak in peaks.items()}
            for name, peaks in result.peak_memory_bytes.items()
        },
    }
    with figure_file(path, _SIZE, heading) as figure:
        for axes, (title, lines) in zip(figure.subplots(1, 3), panels.items(), strict=True):
            _draw(axes, title, lines)
        seconds, postprocess, memory = figure.axes
        seconds.legend(fontsize="small")
        for axes in (seconds, postprocess):
            _make_logarithmic(axes)
        memory.set_ylim(0, 1.1 * memory.get_ylim()[1])


def _draw(axes: "Axes", title: str, lines: Mapping[str, Mapping[int, float]]) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    for name, values in lines.items():
        axes.plot(list(values), list(values.values()), marker="o", color=_COLOURS[name], label=name)
    axes.set_title(title, fontsize="small")
    axes.set(xscale="log", xlabel="classes")
    axes.set_xticks(sorted({k for values in lines.values() for k in values}))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda k, place: f"{k:,.0f}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3, linewidth=0.5)


def _make_logarithmic(axes: "Axes") -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator

    plain = FuncFormatter(lambda value, place: f"{value:g}")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(plain)
    axes.yaxis.set_minor_formatter("")
