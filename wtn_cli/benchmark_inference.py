"""``wtn benchmark inference``: what detection costs as the number of classes grows."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.config import BackboneName
from pipelines.errors import ConfigError, RunError
from wtn_cli import console
from wtn_cli.options import Device, PrecisionName

Classes = Annotated[str, typer.Option(metavar="K,K,...", help="Numbers of classes.")]
Backbone = Annotated[BackboneName, typer.Option(help="Backbone, with random weights.")]
Size = Annotated[int, typer.Option(min=1, help="Shortest side of the resized image, in pixels.")]
Runs = Annotated[int, typer.Option(min=1, help="Passes of ours with each number of classes.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the CPU.")]
Picture = Annotated[Path | None, typer.Option(help="Detect in this picture; else one is drawn.")]
Plot = Annotated[Path | None, typer.Option(help="Draw the figures to this PNG file.")]


def inference(
    classes: Classes = "91,500,5000,21841",
    backbone: Backbone = "resnet50",
    size: Size = 800,
    runs: Runs = 15,
    threads: Threads = 2,
    device: Device = "auto",
    precision: PrecisionName = "float32",
    image: Picture = None,
    plot: Plot = None,
) -> None:
    """Time detection by stages, and its peak memory, beside torchvision's Faster R-CNN.

    Torchvision's takes minutes with thousands of classes.

    Example: `wtn benchmark inference --classes 91,5000 --image photo.jpg --plot inference.png`
    """
    numbers = _numbers(classes)
    if plot is not None:
        _refuse_unplotted(plot, image)
    from pipelines.benchmarks.inference import benchmark_inference  # imports torch

    with console.progress("inference") as bar:
        result = benchmark_inference(
            classes=numbers,
            backbone=backbone,
            size=size,
            runs=runs,
            threads=threads,
            device=device,
            precision=precision,
            image=image,
            on_progress=lambda done, total, detail: bar.update(done, total, detail, every=True),
        )
    if plot is not None:
        from pipelines.benchmarks.inference_plot import plot_inference

        plot_inference(result, plot)
    console.emit_json(result)
    if result.missed:
        raise RunError("; ".join(result.missed))


def _numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise ConfigError(
            f"--classes {text} is not a list of numbers", mend="For example: --classes 91,5000"
        )
    return [int(word) for word in words]


def _refuse_unplotted(plot: Path, image: Path | None) -> None:
    """Refuse a plot that cannot be drawn before anything is measured."""
    from pipelines.figures import require_matplotlib
    from pipelines.storage import refuse_to_replace, refuse_unwritable

    require_matplotlib()
    refuse_to_replace(plot, [image])
    refuse_unwritable([plot])
