"""What is wrong with the rows of a dataset, and where: boxes, classes, labels and image ids.

Shapes: n rows, I images. Finding is vectorised; only what is wrong is told row by row.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import BoxPolicy
from pipelines.data.annotations import BoxTable, ImageLabelTable, Source
from pipelines.data.box_policy import box_faults, check_boxes
from pipelines.data.findings import Finding, Mentions, Offence
from pipelines.data.tables import BoolArray, IntArray

_LEADS_OUT = re.compile(r"[/\\\x00]|^\.{1,2}$|^[A-Za-z]:")  # a separator, NUL, .., a drive
_CORNERS = ("XMin", "YMin", "XMax", "YMax")


def check_box_table(table: BoxTable, policy: BoxPolicy) -> Iterator[Finding]:
    """Find bad boxes, and say what ``check_boxes`` does with each under a policy."""
    faults = box_faults(table)
    dropped = _dropped(table, faults.any, policy)
    found = {
        "box-not-finite": faults.not_finite,
        "box-outside": faults.outside,
        "box-degenerate": faults.degenerate,
        "box-duplicate": faults.duplicate | (dropped & ~faults.any),  # a copy once others are cut
    }
    mended = "clipped" if policy == "clip" else "refused"
    for kind, mask in found.items():
        rows = np.flatnonzero(mask)
        if len(rows):
            gone = int(dropped[rows].sum())
            counts = {mended: len(rows) - gone, "dropped": gone}
            actions = {action: count for action, count in counts.items() if count}
            yield Finding(kind, actions, _box_offences(table, kind, rows, dropped, mended))


def check_box_classes(table: BoxTable, lines: Mapping[str, int], path: Path) -> Iterator[Finding]:
    """Find boxes of classes that a list lacks, and classes of the list that have no box.

    Args:
        table: The boxes.
        lines: The line of each class in its file.
        path: That file.
    """
    rows = _unknown(table, lines)
    if len(rows):
        offences = (_row_offence(table, "class-unknown", row) for row in rows.tolist())
        yield Finding("class-unknown", {"refused": len(rows)}, offences)
    counts = np.bincount(table.label, minlength=len(table.class_ids))
    used = {class_id for class_id, count in zip(table.class_ids, counts, strict=True) if count}
    unused = [
        Offence("class-unused", str(path), line, class_id=class_id, action="kept")
        for class_id, line in lines.items()
        if class_id not in used
    ]
    if unused:
        yield Finding.of(*unused)


def check_labels(
    labels: ImageLabelTable,
    rows: IntArray | None,
    path: Path,
    classes: Mapping[str, int] | None,
) -> Iterator[Finding]:
    """Find labels of classes that a list lacks, and labels that contradict each other.

    Args:
        labels: The labels.
        rows: ``[n]``, the line of each in its file, or None if that is not known.
        path: That file.
        classes: The classes of the list, or None if there is no list.
    """
    found = {"label-contradictory": (np.flatnonzero(_contradicted(labels)), "kept")}
    if classes is not None:
        found["label-class-unknown"] = _unknown(labels, classes), "ignored"
    for kind, (positions, action) in found.items():
        if len(positions):
            offences = _label_offences(
                labels, rows, Offence(kind, str(path), action=action), positions
            )
            yield Finding(kind, {action: len(positions)}, offences)


def check_image_ids(mentions: Mentions) -> Iterator[Offence]:
    """Find ids that are no plain file name and could lead out of the folder of images."""
    for image, image_id in enumerate(mentions.image_ids):
        if is_unsafe(image_id):
            yield mentions.offence("image-unsafe-id", image, f"id {image_id!r}")


def is_unsafe(image_id: str) -> bool:
    """Return whether an id holds a separator or NUL, or names a folder or a drive."""
    return _LEADS_OUT.search(image_id) is not None


def mentions_in_boxes(table: BoxTable, path: Path) -> Mentions:
    """Return the images of a box table; those without a box are named by the file at ``path``."""
    first = _first_rows(table.image, len(table.image_ids))
    rows, source = np.full_like(first, -1), np.full_like(first, len(table.sources))
    named = first >= 0
    rows[named], source[named] = table.rows[first[named]], table.source[first[named]]
    return Mentions(table.image_ids, (*table.sources, Source(path)), source, rows)


def mentions_in_labels(labels: ImageLabelTable, rows: IntArray, path: Path) -> Mentions:
    """Return the images of a label file; ``rows`` ``[n]`` are the lines of its labels."""
    first = _first_rows(labels.image, len(labels.image_ids))
    return Mentions(labels.image_ids, (Source(path),), np.zeros_like(first), rows[first])


def _dropped(table: BoxTable, bad: BoolArray, policy: BoxPolicy) -> BoolArray:
    """Return which boxes ``[n]`` a policy removes; only images with a bad box are looked at."""
    dropped = np.zeros(len(table), np.bool_)
    if policy == "error" or not bad.any():
        return dropped
    touched = np.zeros(len(table.image_ids), np.bool_)
    touched[table.image[bad]] = True
    positions = np.flatnonzero(touched[table.image])
    kept = check_boxes(replace(table.select(positions), rows=positions), policy).rows
    dropped[positions] = True
    dropped[kept] = False
    return dropped


def _box_offences(
    table: BoxTable, kind: str, rows: IntArray, dropped: BoolArray, mended: str
) -> Iterator[Offence]:
    for row in rows.tolist():
        values = zip(_CORNERS, table.boxes[row].tolist(), strict=True)
        detail = " ".join(f"{name} {value:.9g}" for name, value in values)
        action = "dropped" if dropped[row] else mended
        yield _row_offence(table, kind, row)._replace(detail=detail, action=action)


def _row_offence(table: BoxTable, kind: str, row: int) -> Offence:
    source, image_id = table.sources[table.source[row]], table.image_ids[table.image[row]]
    return Offence(
        kind,
        str(source.file(image_id)),
        int(table.rows[row]),
        image_id,
        table.class_ids[table.label[row]],
        row_name=source.row,
    )


def _label_offences(
    labels: ImageLabelTable, rows: IntArray | None, common: Offence, positions: IntArray
) -> Iterator[Offence]:
    for position in positions.tolist():
        yield common._replace(
            row=None if rows is None else int(rows[position]),
            image_id=labels.image_ids[labels.image[position]],
            class_id=labels.class_ids[labels.label[position]],
            detail=f"Confidence {int(labels.positive[position])}",
        )


def _unknown(table: BoxTable | ImageLabelTable, known: Mapping[str, int]) -> IntArray:
    unknown = np.array([class_id not in known for class_id in table.class_ids], np.bool_)
    return np.flatnonzero(unknown[table.label])


def _contradicted(labels: ImageLabelTable) -> BoolArray:
    pairs = labels.image.astype(np.int64) * len(labels.class_ids) + labels.label
    both = np.intersect1d(pairs[labels.positive], pairs[~labels.positive])
    return np.isin(pairs, both)


def _first_rows(image: IntArray, images: int) -> IntArray:
    """Return ``[I]``, the first row of each image, or -1."""
    first = np.full(images, -1, np.int64)
    first[image[::-1]] = np.arange(len(image))[::-1]  # of equal indices, numpy keeps the last
    return first
