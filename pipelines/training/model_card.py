"""The ``model-card.md`` of a run folder: what was trained on what, how, and how well."""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from pipelines.environment.report import Environment
from pipelines.model_card import class_table, front_matter, sources
from pipelines.storage import atomic_path, vocabulary_from_json
from pipelines.training.run_folder import BEST, CHECKPOINT, MODEL_CARD
from pipelines.training.run_reading import Run
from pipelines.vocabulary import ClassPartition, Vocabulary

_FILES = frozenset(  # settings that name files: those are listed by name and contents
    ["classifier", "backbone.weights"]
    + [f"data.{role}" for role in ("boxes", "images", "classes", "hierarchy")]
    + [f"evaluation.{role}" for role in ("boxes", "images", "image_labels", "hierarchy")]
)


def write_model_card(
    run: Run, environment: Environment | None, pictures: Sequence[Path] = ()
) -> Path:
    """Write the card of a run into its folder; return its path.

    Args:
        run: With a checkpoint.
        environment: What its ``environment.json`` holds, or None.
        pictures: Of the run, in its folder.
    """
    path = run.folder / MODEL_CARD
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join(_lines(run, environment, pictures)) + "\n")
    return path


def _lines(run: Run, environment: Environment | None, pictures: Sequence[Path]) -> Iterator[str]:
    head, backbone = run.settings.head, run.settings.backbone
    vocabulary, groups = _classes(run)
    yield from front_matter()
    yield f"# {head.method}, {backbone.name}, {len(vocabulary):,} classes"
    yield from (
        "",
        "A Faster R-CNN that was trained together with the rule that turns rows of a classifier's "
        f"last layer into rows of its own (`{head.method}`), so that it detects classes without "
        "boxes too.",
        "",
        *class_table(vocabulary, groups),
    )
    yield from ("## Data", "", *_data(run), "")
    yield from ("## Training", "", "| | |", "| --- | --- |", *_training(run, environment), "")
    yield from _changed(run)
    yield from ("| loss | mean over the last window |", "| --- | --- |")
    yield from (f"| {name} | {value:.4f} |" for name, value in run.history.losses.items())
    yield from ("", *_shown(pictures))
    yield from ("## Evaluation", "", *_evaluation(run), "")
    yield from ("## Use", "", "In this folder:", "", "```sh", *_commands(run), "```", "")
    yield from ("## Licence and limits", "", *_LICENCE_AND_LIMITS)


def _classes(run: Run) -> tuple[Vocabulary, list[str]]:
    """Return the classes that the checkpoint can detect, and the group of each."""
    assert run.header is not None
    path = run.folder / CHECKPOINT
    classifier = vocabulary_from_json(path, run.header["classifier_vocabulary"])
    detection = vocabulary_from_json(path, run.header["vocabulary"])
    partition = ClassPartition.of(classifier, detection)
    ids = (*partition.seen, *partition.novel, *partition.other)
    names = detection.name_of | classifier.name_of
    vocabulary = Vocabulary(ids, tuple(names[class_id] for class_id in ids))
    return vocabulary, [partition.group_of(class_id) for class_id in ids]


def _data(run: Run) -> Iterator[str]:
    assert run.header is not None
    provenance = run.header.get("provenance", {})
    yield from sources(provenance)
    yield from (f"- images `{Path(name).name}`" for name in provenance.get("images", ()))


def _training(run: Run, environment: Environment | None) -> Iterator[str]:
    """Yield the rows of a table of how it was trained."""
    schedule, timings = run.settings.schedule, run.history.timings
    yield f"| iterations | {run.iteration:,} of {schedule.iterations:,} |"
    yield f"| images a step | {schedule.batch_size} |"
    yield f"| precision | {run.settings.engine.precision} |"
    if timings:
        speed = statistics.median(timing.images_per_second for timing in timings)
        yield f"| time | {run.history.seconds / 3600:.2f} hours, {speed:.1f} images/s |"
        yield f"| peak memory | {max(t.memory_bytes for t in timings) / 1e9:.1f} GB |"
    for last in run.history.records[-1:]:
        if last.skipped:
            yield f"| steps left out, loss not finite | {last.skipped} |"
        if last.skipped_images:
            yield f"| images left out, that do not decode | {last.skipped_images} |"
    if environment is not None:
        yield f"| machine | {environment.machine}, {environment.hardware.cpus} CPUs |"
        version = environment.torch.torch if environment.torch else "unknown"
        yield f"| software | wtn {environment.wtn}, torch {version} |"


def _changed(run: Run) -> Iterator[str]:
    """Yield a table of the settings that are not the defaults, without those that name files."""
    changed = {key: both for key, both in run.changed_settings.items() if key not in _FILES}
    if changed:
        yield from ("| setting | here | default |", "| --- | --- | --- |")
        for key, both in changed.items():
            here, default = ("unset" if value is None else value for value in both)
            yield f"| `{key}` | {here} | {default} |"
        yield ""


def _shown(pictures: Sequence[Path]) -> Iterator[str]:
    yield from (f"![{path.stem.replace('-', ' ')}]({path.name})" for path in pictures)
    yield from [""] * bool(pictures)


def _evaluation(run: Run) -> Iterator[str]:
    history, settings = run.history, run.settings.evaluation
    if not history.metrics:
        yield "Nothing was evaluated during training; `wtn evaluate` measures."
        return
    boxes = "" if settings.boxes is None else f", on `{settings.boxes.name}`"
    yield f"In percent, by the metric `{settings.metric}`{boxes}; each group of classes alone."
    yield from ("", "| | last | best | after iterations |", "| --- | --- | --- | --- |")
    for name in history.metrics:
        last = next(e for e in reversed(history.evaluations) if name in e.metrics)
        best = history.best(name)
        assert best is not None  # the name comes from the evaluations
        now = f"{100 * last.metrics[name]:.2f}" if last.measures(name) else "-"
        figures = f"{now} | {100 * best.metrics[name]:.2f}"
        yield f"| {name.replace('_', ' ')} | {figures} | {best.iteration:,} |"
    kept = run.settings.checkpoints.keep_best
    if kept is not None:
        yield from ("", f"`{BEST}` is the checkpoint with the best {kept.replace('_', ' ')}.")


def _commands(run: Run) -> Iterator[str]:
    if run.settings.head.method != "zsd":  # whose head no file holds
        yield f"wtn export-head {CHECKPOINT} -o head.safetensors"
    yield f"wtn evaluate --checkpoint {CHECKPOINT} --boxes BOXES --images IMAGES"
    yield f"wtn predict photo.jpg --checkpoint {CHECKPOINT} --save drawn"
    yield f"wtn export {CHECKPOINT} --format onnx"
    if run.state != "finished":
        yield "wtn train --resume ."


_LICENCE_AND_LIMITS = (
    "The licence depends on the classifier and the data that it was trained on; state it here and "
    "in the first lines.",
    "",
    "Scores of seen and novel classes are not on one scale: see `wtn evaluate --joint`. A class "
    "that is not in the list needs a row of the same classifier, not a name. What looks like no "
    "training image is not detected reliably, and nothing was tested for fairness or safety.",
)
