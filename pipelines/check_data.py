"""Stage: find everything that is wrong with a dataset before training does."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pipelines.config import BoxPolicy
from pipelines.data.annotations import BoxTable, ImageLabelTable
from pipelines.data.checks import (
    check_box_classes,
    check_box_table,
    check_image_ids,
    check_labels,
    mentions_in_boxes,
    mentions_in_labels,
)
from pipelines.data.class_files import read_class_lines
from pipelines.data.findings import (
    HARMLESS,
    KINDS,
    Finding,
    FindingSummary,
    Mentions,
    Offence,
    Tally,
    row_writer,
)
from pipelines.data.index import is_index, open_index
from pipelines.data.open_images import read_boxes, read_image_label_lines
from pipelines.data.tables import IntArray
from pipelines.errors import ConfigError, DatasetError, Interrupted, did_you_mean
from pipelines.storage import refuse_to_replace

if TYPE_CHECKING:
    from pipelines.data.images import ImageStore

OnProgress: TypeAlias = Callable[[int, int, float], None]  # done, total, images a second

_STOPPED = "Nothing was reported or written."


@dataclass(frozen=True)
class CheckInputs:
    """The files of a dataset.

    Args:
        boxes: Open Images box CSV, or an index.
        classes: Class list, to look for classes that are unknown or unused.
        image_labels: Verified image-level labels; an index may hold its own.
        images: Folders, zip and tar files, to look at the images with annotations; an index knows
            its own.
    """

    boxes: Path
    classes: Path | None = None
    image_labels: Path | None = None
    images: Sequence[Path] = ()


@dataclass(frozen=True)
class CheckReport:
    """What is wrong with a dataset.

    Args:
        findings: By kind, in the order of ``KINDS``.
        images: Images that annotations name; they were read if there was a place to read from.
        boxes: Number of boxes.
        seconds: Time taken.
        ok: Whether nothing is wrong but what was allowed.
        rows: The file of offending rows, if one was asked for.
    """

    findings: dict[str, FindingSummary]
    images: int
    boxes: int
    seconds: float
    ok: bool
    rows: Path | None

    def refuse_faults(self) -> None:
        """Raise DatasetError unless the dataset is all right."""
        if self.ok:
            return
        faults = {kind: found.count for kind, found in self.findings.items() if found.fault}
        counts = ", ".join(f"{count} {kind}" for kind, count in faults.items())
        every = f"All are in {self.rows}." if self.rows else "List them all with --rows FILE.csv."
        raise DatasetError(
            f"{sum(faults.values())} faults: {counts}",
            mend=f"{every} Allow a kind that is no fault to you with --allow KIND.",
        )


@dataclass
class _Dataset:
    """The dataset as it is, with nothing treated."""

    boxes: BoxTable
    labels: ImageLabelTable | None
    label_lines: IntArray | None
    label_file: Path
    classes: dict[str, int] | None
    images: "ImageStore | None"


def check_data(
    inputs: CheckInputs,
    policy: BoxPolicy = "error",
    *,
    rows: Path | None = None,
    allow: Sequence[str] = (),
    workers: int = 2,
    on_progress: OnProgress = lambda done, total, rate: None,
) -> CheckReport:
    """Check boxes, classes, labels and images; images are read one by one.

    Args:
        inputs: The files.
        policy: What training will do with bad boxes; the report says what becomes of each.
        rows: Where to write a CSV of everything that is wrong, one line each.
        allow: Kinds that are no fault here.
        workers: Threads that read images.
        on_progress: Called after each image.

    Raises:
        ConfigError: If a kind is not known, or ``rows`` would replace an input.
        DatasetError: If a file cannot be read at all.
        Interrupted: On Ctrl-C; nothing is written.
    """
    _refuse_unknown(allow)
    if rows is not None:
        files = (inputs.boxes, inputs.classes, inputs.image_labels, *inputs.images)
        refuse_to_replace(rows, files)
    try:
        with row_writer(rows) as write:
            tally = Tally(frozenset(allow) | HARMLESS, write)
            return _check(inputs, policy, tally, workers, on_progress, rows)
    except KeyboardInterrupt as interrupt:
        raise Interrupted("stopped", where=inputs.boxes, mend=_STOPPED) from interrupt


def _check(
    inputs: CheckInputs,
    policy: BoxPolicy,
    tally: Tally,
    workers: int,
    on_progress: OnProgress,
    rows: Path | None,
) -> CheckReport:
    started = time.monotonic()
    dataset = _load(inputs)
    mentions = _mentions(dataset)
    for finding in _row_findings(dataset, inputs, policy):
        tally.add(finding)
    for offence in check_image_ids(mentions):
        tally.add(Finding.of(offence))
    if dataset.images is not None:
        _check_images(dataset.images, mentions, workers, tally, on_progress)
    findings = tally.found()
    return CheckReport(
        findings,
        images=len(mentions.image_ids),
        boxes=len(dataset.boxes),
        seconds=time.monotonic() - started,
        ok=not any(found.fault for found in findings.values()),
        rows=rows,
    )


def _load(inputs: CheckInputs) -> _Dataset:
    classes = read_class_lines(inputs.classes) if inputs.classes else None
    images = _open(inputs.images) if inputs.images else None
    labels, lines, label_file = None, None, inputs.boxes
    if is_index(inputs.boxes):
        index = open_index(inputs.boxes)
        boxes, labels = index.annotations.boxes, index.annotations.labels
        images = images or index.images()
    else:
        boxes = read_boxes(inputs.boxes, "unchecked")
    if inputs.image_labels is not None:
        label_file = inputs.image_labels
        labels, lines = read_image_label_lines(label_file)
    return _Dataset(boxes, labels, lines, label_file, classes, images)


def _open(sources: Sequence[Path]) -> "ImageStore":
    from pipelines.data.images import open_images  # imports torch, half a gigabyte

    return open_images(*sources)


def _mentions(dataset: _Dataset) -> Mentions:
    """Return the annotated images, each once; those of an index are all in its boxes."""
    in_boxes = mentions_in_boxes(dataset.boxes)
    if dataset.labels is None or dataset.label_lines is None:
        return in_boxes
    return in_boxes.followed_by(
        mentions_in_labels(dataset.labels, dataset.label_lines, dataset.label_file)
    )


def _row_findings(dataset: _Dataset, inputs: CheckInputs, policy: BoxPolicy) -> Iterator[Finding]:
    yield from check_box_table(dataset.boxes, policy)
    if dataset.classes is not None and inputs.classes is not None:
        yield from check_box_classes(dataset.boxes, dataset.classes, inputs.classes)
    if dataset.labels is not None:
        yield from check_labels(
            dataset.labels, dataset.label_lines, dataset.label_file, dataset.classes
        )


def _check_images(
    store: "ImageStore",
    mentions: Mentions,
    workers: int,
    tally: Tally,
    on_progress: OnProgress,
) -> None:
    from pipelines.data.image_checks import check_image_files, check_unused

    for name in store.unsafe:
        reason = "it leads out of its source, is a link or has a name that is not UTF-8"
        tally.add(Finding.of(Offence("image-unsafe-id", name, detail=reason, action="left out")))
    started, total, done = time.monotonic(), len(mentions.image_ids), 0
    try:
        with closing(check_image_files(store, mentions, workers)) as found:
            for done, offences in enumerate(found, 1):
                for offence in offences:
                    tally.add(Finding.of(offence))
                on_progress(done, total, done / (time.monotonic() - started))
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            f"stopped after {done} of {total} images", where=store.origin, mend=_STOPPED
        ) from interrupt
    for finding in check_unused(store, mentions):
        tally.add(finding)


def _refuse_unknown(kinds: Sequence[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise ConfigError(
                f"there is no kind of fault {kind!r}",
                mend=did_you_mean(kind, KINDS) or f"Kinds: {', '.join(KINDS)}.",
            )
