"""``wtn predict``: what is in these pictures."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError, DatasetError
from wtn_cli import console
from wtn_cli.options import AsJson, BatchSize, Checkpoint, Classes, Device, Head, PrecisionName
from wtn_cli.predict_options import (
    AllLabels,
    Coco,
    CocoAnnotations,
    Images,
    JsonLines,
    NovelShift,
    OnError,
    Save,
    ScoreThreshold,
    Thresholds,
    TopK,
    WhatOnError,
)

if TYPE_CHECKING:
    from pipelines.data.prediction_outputs import Written

STDIO = Path("-")


def predict(
    images: Images,
    checkpoint: Checkpoint,
    head: Head = None,
    classes: Classes = "all",
    score_threshold: ScoreThreshold = 0.5,
    thresholds: Thresholds = None,
    top_k: TopK = None,
    all_labels: AllLabels = False,
    novel_shift: NovelShift = 0.0,
    save: Save = None,
    jsonl: JsonLines = None,
    coco: Coco = None,
    coco_annotations: CocoAnnotations = None,
    on_error: WhatOnError = OnError.STOP,
    device: Device = "auto",
    precision: PrecisionName = "float32",
    batch_size: BatchSize = 4,
    as_json: AsJson = False,
) -> None:
    """Detect objects in pictures.

    Example: `wtn predict street.jpg --checkpoint run/checkpoint.safetensors --save drawn`

    Example: `find frames -name '*.jpg' | wtn predict - --checkpoint run/checkpoint.safetensors
    --jsonl found.jsonl --on-error skip`
    """
    from pipelines.data.image_inputs import find_images  # these import torch, so only now
    from pipelines.data.prediction_outputs import PredictionOutputs
    from pipelines.predict import Detector

    if coco == STDIO:
        raise ConfigError(
            "--coco writes a file that is whole at the end, so it cannot be stdout",
            mend="Name a file; --jsonl - writes on stdout.",
        )
    show = _display(as_json, jsonl, score_threshold if thresholds is None else None)
    outputs = PredictionOutputs(save, None if jsonl == STDIO else jsonl, coco, coco_annotations)
    bad = _BadPictures(on_error)
    files = find_images(_with_list(images), bad)
    outputs.refuse_clashes(files, [checkpoint, head, thresholds])
    detector = Detector.load(
        checkpoint,
        head,
        classes=classes,
        score_threshold=score_threshold,
        thresholds=thresholds,
        all_labels=all_labels,
        top_k=top_k,
        novel_shift=novel_shift,
        device=device,
        precision=precision,
    )

    def written() -> Iterator["Written"]:
        with outputs.opened(files, detector.vocabulary) as write:
            found = detector.predict_many(files, batch_size=batch_size, on_error=bad)
            yield from map(write, found)

    show(_watched(written(), len(files), bad))
    bad.end()


class _BadPictures:
    """Stops at a picture that cannot be read, or tells of it and counts it."""

    def __init__(self, on_error: OnError) -> None:
        self._skip, self.count = on_error is OnError.SKIP, 0

    def __call__(self, error: DatasetError) -> None:
        if not self._skip:
            raise error
        self.count += 1
        console.note(f"left out: {error.place_and_cause}")

    def end(self) -> None:
        """Raise DatasetError if pictures were left out."""
        if self.count:
            raise DatasetError(
                f"{self.count} pictures were left out, as told above; all others are done"
            )


def _with_list(images: Sequence[Path]) -> list[Path]:
    """Return the inputs with the list on stdin in place of ``-``."""
    return [path for image in images for path in (_listed() if image == STDIO else [image])]


def _listed() -> list[Path]:
    """Return the paths on stdin, one a line, or ended by zero bytes as by ``find -print0``."""
    content = sys.stdin.buffer.read()
    names = content.split(b"\0") if b"\0" in content else content.splitlines()
    return [Path(os.fsdecode(name)) for name in names if name.strip()]


def _watched(written: Iterator["Written"], total: int, bad: _BadPictures) -> Iterator["Written"]:
    """Yield what was written, with a progress line on stderr."""
    left_out, started, bad_before = 0, time.monotonic(), bad.count
    with console.progress("detect") as bar:
        for done, one in enumerate(written, start=1):
            left_out += one.left_out
            yield one
            seconds = max(time.monotonic() - started, 1e-9)
            finished = done + bad.count - bad_before
            bar.update(finished, total, f"{finished / seconds:.1f} images/s")
    if left_out:
        console.note(f"{left_out} detections are of no COCO category, and not in the COCO results")


def _display(
    as_json: bool, jsonl: Path | None, threshold: float | None
) -> Callable[[Iterator["Written"]], None]:
    """Return what shows the results: one JSON object, JSON lines, or text."""
    if as_json and jsonl == STDIO:
        raise ConfigError("--json and --jsonl - both print on stdout", mend="Choose one of them.")
    if as_json:
        return _show_json
    return _show_lines if jsonl == STDIO else lambda written: _show_text(written, threshold)


def _show_json(written: Iterator["Written"]) -> None:
    console.emit_json({"images": [one.as_dict() for one in written]})


def _show_lines(written: Iterator["Written"]) -> None:
    for one in written:
        console.emit_line(one.as_line())


def _show_text(written: Iterator["Written"], threshold: float | None) -> None:
    above = "" if threshold is None else f" above {threshold}"
    for one in written:
        drawn = f" -> {one.picture}" if one.picture else ""
        found = one.prediction
        console.say(f"{found.image}: {_count(len(found.detections))}{above}{drawn}")
        for detection in found.detections:
            box = ", ".join(f"{coordinate:.0f}" for coordinate in detection.box)
            label = f"{detection.name} ({detection.group})"
            console.say(f"  {detection.score:.3f}  {label}  [{box}]")


def _count(objects: int) -> str:
    return "1 object" if objects == 1 else f"{objects} objects"
