"""``wtn train``: a box dataset and a classifier become a run folder with a checkpoint."""

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.errors import ConfigError
from wtn_cli import console, dry_runs, processes
from wtn_cli.options import AsJson

if TYPE_CHECKING:
    from pipelines.config import TrainSettings
    from pipelines.train import TrainReport
    from pipelines.training.checkpoints import Saved

Classifier = Annotated[Path | None, typer.Option(help="Made by: wtn extract-weights")]
Images = Annotated[
    list[Path] | None,
    typer.Option(
        help="Folder, zip or tar of `<ImageID>.jpg`; repeat it for several. An index knows its own."
    ),
]
Boxes = Annotated[
    Path | None, typer.Option(help="Index made by wtn prepare, or Open Images box CSV.")
]
Classes = Annotated[Path | None, typer.Option(help="Order and names of the classes.")]
Hierarchy = Annotated[Path | None, typer.Option(help="Open Images hierarchy JSON.")]
Sampler = Annotated[
    str | None, typer.Option(help="class-balanced (default), uniform, repeat-factor or sequential.")
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Run folder: settings, metrics, checkpoints (run)."),
]
Config = Annotated[
    Path | None, typer.Option(help="TOML settings file, such as the settings.toml of a run.")
]
Assign = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting; wins over --config."),
]
Method = Annotated[
    str | None,
    typer.Option(help="faster-rcnn, lsda, zsd, wtn, wtn+, ae-wtn (default) or ae-wtn-cosine."),
]
Backbone = Annotated[
    str | None, typer.Option(help="resnet50 (default), resnet18, mobilenet_v2 or tiny.")
]
BackboneWeights = Annotated[
    str | None, typer.Option(help="State dict of the classifier, or torchvision:NAME@WEIGHTS.")
]
Iterations = Annotated[int | None, typer.Option(help="Optimiser steps (180000).")]
BatchSize = Annotated[int | None, typer.Option(help="Images a step (8).")]
BoxPolicy = Annotated[str | None, typer.Option(help="Bad boxes: error (default), clip or drop.")]
BadImages = Annotated[
    str | None, typer.Option(help="Images that do not decode: error (default) or skip.")
]
Precision = Annotated[
    str | None,
    typer.Option(help="Of convolutions: float32 (default), bfloat16 or float16."),
]
Accumulation = Annotated[
    int | None, typer.Option(help="Passes that a batch is cut into, to save memory (1).")
]
Seed = Annotated[int | None, typer.Option(help="Of everything random (0).")]
Device = Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, cuda:1.")]
ScaleSchedule = Annotated[
    bool,
    typer.Option(
        "--scale-schedule",
        metavar="",
        help="Fit a schedule for batches of 8 images to the batch size: SGD's rate times B/8, "
        "iterations and steps divided by it.",
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", metavar="", help="Also write for it, into the run folder."),
]
ShowConfig = Annotated[
    bool,
    typer.Option("--show-config", metavar="", help="Print every setting as TOML, and stop."),
]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="auto|PATH",
        help="auto: go on with the run in --output, or begin it. PATH: a run folder or a state.",
    ),
]
MaxHours = Annotated[
    float | None, typer.Option(help="Save and stop after so many hours; --resume goes on.")
]
SkipNonfinite = Annotated[
    int | None,
    typer.Option(help="Steps whose loss is not finite to leave out before the run ends (0)."),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        metavar="",
        help="Take a few steps to tell time, memory and disk; write nothing.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", metavar="", help="Replace the run that is in the folder.")
]


def train(
    classifier: Classifier = None,
    images: Images = None,
    boxes: Boxes = None,
    classes: Classes = None,
    hierarchy: Hierarchy = None,
    output: Output = None,
    config: Config = None,
    assign: Assign = None,
    method: Method = None,
    backbone: Backbone = None,
    backbone_weights: BackboneWeights = None,
    iterations: Iterations = None,
    batch_size: BatchSize = None,
    policy: BoxPolicy = None,
    bad_images: BadImages = None,
    sampler: Sampler = None,
    precision: Precision = None,
    accumulation: Accumulation = None,
    seed: Seed = None,
    device: Device = None,
    resume: Resume = None,
    max_hours: MaxHours = None,
    skip_nonfinite: SkipNonfinite = None,
    scale_schedule: ScaleSchedule = False,
    tensorboard: TensorBoard = False,
    show_config: ShowConfig = False,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Train Faster R-CNN jointly with a weight transfer network.

    A flag wins over --set, which wins over --config.

    Example: `wtn train --classifier classifier.safetensors --images train.zip --boxes boxes.csv
    --iterations 2000 --set schedule.steps=[1500] -o run`
    """
    from pipelines.config import load_settings, show_settings
    from pipelines.train import train_detector  # imports torch, so only when it runs
    from pipelines.training.resuming import find_start, is_finished
    from wtn_cli.training_progress import observers

    flags = {
        "classifier": classifier,
        "data.images": images or None,
        "data.boxes": boxes,
        "data.classes": classes,
        "data.hierarchy": hierarchy,
        "data.box_policy": policy,
        "data.bad_images": bad_images,
        "data.sampler": sampler,
        "head.method": method,
        "backbone.name": backbone,
        "backbone.weights": backbone_weights,
        "schedule.iterations": iterations,
        "schedule.batch_size": batch_size,
        "engine.precision": precision,
        "engine.accumulation": accumulation,
        "seed": seed,
        "device": device,
        "limits.max_hours": max_hours,
        "limits.skip_nonfinite": skip_nonfinite,
    }
    if show_config:
        console.say(show_settings(config, assign or (), flags, scaled=scale_schedule))
        return
    if force and resume:
        raise ConfigError("--resume goes on with a run, --force replaces it", mend="Give one.")
    team = processes.join()
    start = find_start(resume, output)
    for passed_over in start.notes:
        console.note(f"Passed over: {passed_over}")
    stored = None if scale_schedule else start.settings  # which are scaled already
    of_session = () if config else ("limits.max_hours",)  # a resumed run has a time of its own
    settings = load_settings(
        config or stored, assign or (), flags, scaled=scale_schedule, forget=of_session
    )
    if start.saved is not None and is_finished(start.saved, settings):
        if team.is_leader:
            _show_finished(start.folder, start.saved, settings, as_json=as_json)
        return
    if dry_run:
        dry_runs.show(settings, start, team, overwrite=force, as_json=as_json)
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a scheduler's stop saves as Ctrl-C
    with console.progress("train") as bar:
        report = train_detector(
            settings,
            start.folder,
            observers(bar, settings, tensorboard=tensorboard),
            overwrite=force,
            saved=start.saved,
            team=team,
            command=processes.train_command(),
        )
    if as_json:
        console.emit_json(report)
    else:
        _show(report)


def _show(report: "TrainReport") -> None:
    skipped = {
        "steps left out": report.skipped,
        "images that do not decode": report.skipped_images,
    }
    console.show_facts(
        f"{report.checkpoint}",
        {
            "iterations": report.iterations,
            "images, boxes": f"{report.images}, {report.boxes}",
            "classes": f"{report.seen} seen, {report.other} other, {report.novel} novel",
            **{name: f"{value:.4f}" for name, value in report.losses.items()},
            **{name: count for name, count in skipped.items() if count},
        },
    )
    if report.go_on is not None:
        console.note(f"The time is over, and the run is not finished. {report.go_on}")


def _show_finished(
    folder: Path, saved: "Saved", settings: "TrainSettings", *, as_json: bool
) -> None:
    """Tell where the detector is; write the card of a run that was killed before it."""
    from pipelines.training.closing import FolderCompletion, is_complete
    from pipelines.training.resuming import finished_checkpoint
    from pipelines.training.run_folder import is_of
    from pipelines.training.run_lock import RunLock

    with RunLock(folder):
        checkpoint = finished_checkpoint(folder, saved)
        if is_of(saved.pair, folder) and not is_complete(folder):
            FolderCompletion(settings, console.note).ended(folder)
    if as_json:
        facts = {"checkpoint": checkpoint, "finished": True, "iterations": saved.iteration}
        console.emit_json(facts)
    else:
        console.say(f"{checkpoint} is finished, with {saved.iteration} iterations")
