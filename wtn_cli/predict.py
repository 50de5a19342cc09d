"""``wtn predict``: what is in these pictures."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from wtn_cli import console
from wtn_cli.options import AsJson, BatchSize, Checkpoint, Classes, Device, Head


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="Pictures, or folders of pictures.")
    ],
    checkpoint: Checkpoint,
    head: Head = None,
    save: Annotated[
        Path | None, typer.Option(help="Draw the boxes into this folder: seen blue, novel red.")
    ] = None,
    classes: Classes = "all",
    score_threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Report what scores above this.")
    ] = 0.5,
    all_labels: Annotated[
        bool,
        typer.Option("--all-labels", metavar="", help="Report every class of an object, not one."),
    ] = False,
    device: Device = "auto",
    batch_size: BatchSize = 4,
    as_json: AsJson = False,
) -> None:
    """Detect objects in pictures.

    Example: `wtn predict street.jpg --checkpoint run/checkpoint.safetensors --save drawn`
    """
    from pipelines.predict import predict_images  # imports torch, so only when it runs

    predictions = predict_images(
        checkpoint,
        head,
        images,
        classes=classes,
        score_threshold=score_threshold,
        all_labels=all_labels,
        save=save,
        device=device,
        batch_size=batch_size,
    )
    if as_json:
        console.emit_json({"images": [asdict(prediction) for prediction in predictions]})
        return
    for prediction in predictions:
        drawn = f" -> {prediction.picture}" if prediction.picture else ""
        count = f"{len(prediction.detections)} objects above {score_threshold}"
        console.say(f"{prediction.image}: {count}{drawn}")
        for found in prediction.detections:
            box = ", ".join(f"{coordinate:.0f}" for coordinate in found.box)
            console.say(f"  {found.score:.3f}  {found.name} ({found.group})  [{box}]")
