"""``wtn benchmark train``: what a training step costs by method, beside the paper's Table 4."""

from pathlib import Path
from typing import Annotated

import typer

from pipelines.config import BackboneName
from pipelines.errors import RunError
from wtn_cli import console
from wtn_cli.options import Device, PrecisionName

_SIZE = " By default {} on a GPU, as in the paper, and {} on a CPU."
Backbone = Annotated[
    BackboneName | None,
    typer.Option(help="With random weights." + _SIZE.format("resnet50", "resnet18")),
]
Size = Annotated[
    int | None,
    typer.Option(min=128, help="Shortest side, in pixels." + _SIZE.format(800, 320)),
]
Images = Annotated[int, typer.Option(min=1, help="Images of a batch.")]
Classes = Annotated[
    int | None,
    typer.Option(min=20, help="Of the classifier; a tenth has boxes." + _SIZE.format(5000, 1000)),
]
Width = Annotated[
    int | None,
    typer.Option(
        min=64, help="Of classifier rows and RoI features, both." + _SIZE.format(2048, 512)
    ),
]
Drawn = Annotated[
    int, typer.Option(min=1, help="Classes that ae-wtn-drawn reconstructs in a step.")
]
Runs = Annotated[int, typer.Option(min=1, help="Rounds, in which all take turns.")]
Threads = Annotated[int, typer.Option(min=1, help="Threads of the CPU.")]
Ablation = Annotated[
    bool,
    typer.Option("--ablation", metavar="", help="Also measure each way to train faster."),
]
Reference = Annotated[
    Path | None,
    typer.Option(help="A checkout of pytorch/vision, whose training loop takes turns too."),
]


def train(
    backbone: Backbone = None,
    size: Size = None,
    images: Images = 2,
    classes: Classes = None,
    width: Width = None,
    drawn: Drawn = 256,
    runs: Runs = 15,
    threads: Threads = 2,
    device: Device = "auto",
    precision: PrecisionName = "float32",
    ablation: Ablation = False,
    reference: Reference = None,
) -> None:
    """Time training steps of all methods in turns, with their peak memory.

    Images are drawn and in memory, so reading them does not count. The loop of the checkout runs
    as it is, around the same Faster R-CNN.

    Example: `wtn benchmark train --ablation --reference vision`
    """
    from pipelines.benchmarks.train import benchmark_train  # imports torch, so only when it runs

    with console.progress("training") as bar:
        result = benchmark_train(
            backbone=backbone,
            size=size,
            images=images,
            classes=classes,
            width=width,
            drawn=drawn,
            runs=runs,
            threads=threads,
            device=device,
            precision=precision,
            ablation=ablation,
            reference=reference,
            on_progress=lambda done, total, detail: bar.update(done, total, detail, every=True),
        )
    console.emit_json(result)
    if result.missed:
        raise RunError("; ".join(result.missed))
