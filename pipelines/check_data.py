"""Stage: find everything that is wrong with a dataset before training does."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pipelines.config import BoxPolicy
from pipelines.data.check_inputs import CheckInputs, UncheckedDataset
from pipelines.data.checks import (
    check_box_classes,
    check_box_table,
    check_image_ids,
    check_labels,
)
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
from pipelines.data.image_checks import check_image_files, check_unused
from pipelines.data.image_table import why_left_out
from pipelines.data.images import ImageStore
from pipelines.errors import ConfigError, DatasetError, Interrupted, did_you_mean

OnProgress: TypeAlias = Callable[[int, int, float], None]  # done, total, images a second

_STOPPED = "Nothing was reported or written."


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
        total = sum(faults.values())
        every = f"All are in {self.rows}." if self.rows else "List them all with --rows FILE.csv."
        raise DatasetError(
            f"{total} {'fault' if total == 1 else 'faults'}: {counts}",
            mend=f"{every} Allow a kind that is no fault to you with --allow KIND.",
        )


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
        ConfigError: If a kind is not known, or ``rows`` would replace an input or a file that the
            index was made from.
        DatasetError: If a file cannot be read at all.
        Interrupted: On Ctrl-C; nothing is written.
    """
    _refuse_unknown(allow)
    started = time.monotonic()
    try:
        dataset = UncheckedDataset.load(inputs)
        if rows is not None:
            dataset.refuse_to_replace(rows)
        with row_writer(rows) as write:
            tally = Tally(frozenset(allow) | HARMLESS, write)
            images = _check(dataset, policy, tally, workers, on_progress)
    except KeyboardInterrupt as interrupt:
        raise Interrupted("stopped", where=inputs.boxes, mend=_STOPPED) from interrupt
    findings = tally.found()
    return CheckReport(
        findings,
        images=images,
        boxes=len(dataset.boxes),
        seconds=time.monotonic() - started,
        ok=not any(found.fault for found in findings.values()),
        rows=rows,
    )


def _check(
    dataset: UncheckedDataset,
    policy: BoxPolicy,
    tally: Tally,
    workers: int,
    on_progress: OnProgress,
) -> int:
    """Count all that is wrong; return how many images the annotations name."""
    mentions = dataset.mentions()
    for finding in _row_findings(dataset, policy):
        tally.add(finding)
    for offence in check_image_ids(mentions):
        tally.add(Finding.of(offence))
    if dataset.images is not None:
        _check_images(dataset.images, mentions, workers, tally, on_progress)
    return len(mentions.image_ids)


def _row_findings(dataset: UncheckedDataset, policy: BoxPolicy) -> Iterator[Finding]:
    yield from check_box_table(dataset.boxes, policy)
    if dataset.classes is not None and dataset.inputs.classes is not None:
        yield from check_box_classes(dataset.boxes, dataset.classes, dataset.inputs.classes)
    if dataset.labels is not None:
        yield from check_labels(
            dataset.labels, dataset.label_lines, dataset.label_file, dataset.classes
        )


def _check_images(
    store: ImageStore,
    mentions: Mentions,
    workers: int,
    tally: Tally,
    on_progress: OnProgress,
) -> None:
    for name in store.unsafe:
        offence = Offence("image-unsafe-id", name, detail=why_left_out(name), action="left out")
        tally.add(Finding.of(offence))
    started, total, done = time.monotonic(), len(mentions.image_ids), 0
    try:
        with closing(check_image_files(store, mentions, workers)) as found:
            for done, offences in enumerate(found, 1):
                for offence in offences:
                    tally.add(Finding.of(offence))
                on_progress(done, total, done / (time.monotonic() - started))
    except KeyboardInterrupt as interrupt:
        raise Interrupted(
            f"stopped after {done} of {total} images", where=store.places, mend=_STOPPED
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
