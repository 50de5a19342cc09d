"""What checks find: one line for each thing that is wrong, and a summary of each kind.

Shapes: I images.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from pipelines.data.annotations import RowName, Source, name_row
from pipelines.data.tables import IntArray
from pipelines.storage import atomic_path

ROW_COLUMNS = ("Kind", "File", "Row", "ImageID", "LabelName", "Detail", "Action")
KINDS = {
    "box-not-finite": "a corner is NaN or infinite",
    "box-outside": "the box leaves the image",
    "box-degenerate": "the box has no area",
    "box-duplicate": "a copy of an earlier box",
    "class-unknown": "a box of a class that is not in the class list",
    "class-unused": "a class of the list without a box",
    "label-class-unknown": "an image-level label of a class that is not in the class list",
    "label-contradictory": "a class verified to be in an image, and not to be",
    "image-unsafe-id": "a name that could lead out of the folder of images",
    "image-missing": "an annotated image that is not there",
    "image-unreadable": "the image does not decode",
    "image-truncated": "the image ends too early",
    "image-cmyk": "colours for print: converted to RGB, as far as that goes",
    "image-16-bit": "16 bits a channel: reduced to 8",
    "image-exif-rotated": "EXIF asks to turn the image; boxes refer to it as it is stored",
    "image-unused": "an image without annotations; no fault",
}
HARMLESS = frozenset({"image-unused"})  # told, but not wrong
BY_POLICY = frozenset(kind for kind in KINDS if kind.startswith("box-"))  # a policy treats them


class Offence(NamedTuple):
    """One thing that is wrong; what does not apply is empty.

    Args:
        kind: One of ``KINDS``.
        file: Where it is.
        row: The row in it: a line, or as the file's :class:`Source` counts.
        image_id: The image.
        class_id: The class.
        detail: The values that are wrong.
        action: What training does with it.
        row_name: What the file's :class:`Source` calls its rows.
    """

    kind: str
    file: str
    row: int | None = None
    image_id: str = ""
    class_id: str = ""
    detail: str = ""
    action: str = "refused"
    row_name: RowName = "line"

    @property
    def where(self) -> str:
        """Name the place."""
        return self.file if self.row is None else name_row(self.file, self.row, self.row_name)

    @property
    def what(self) -> str:
        """Name the class and what is wrong."""
        return f"{self.class_id} {self.detail}".strip()


WriteRows: TypeAlias = Callable[[Iterable[Offence]], None]


@dataclass(frozen=True)
class Finding:
    """Everything of one kind that one check found.

    Args:
        kind: One of ``KINDS``.
        actions: What training does, and with how many.
        offences: All of them, in the order of the file; made when asked for.
    """

    kind: str
    actions: Mapping[str, int]
    offences: Iterator[Offence]

    @classmethod
    def of(cls, *offences: Offence) -> "Finding":
        """Return a finding of offences of one kind."""
        actions = Counter(offence.action for offence in offences)
        return cls(offences[0].kind, actions, iter(offences))


class Mentions(NamedTuple):
    """Images that annotations name, and where each is named first.

    Args:
        image_ids: ``[I]``, distinct.
        sources: The files.
        source: ``[I]``, positions in ``sources``.
        rows: ``[I]``, the row in the file; -1 if no row names the image.
    """

    image_ids: Sequence[str]
    sources: tuple[Source, ...]
    source: IntArray
    rows: IntArray

    def followed_by(self, other: "Mentions") -> "Mentions":
        """Return these images, then those of ``other`` that are not among them."""
        known = frozenset(self.image_ids)
        new = [i for i, image_id in enumerate(other.image_ids) if image_id not in known]
        return Mentions(
            [*self.image_ids, *(other.image_ids[i] for i in new)],
            self.sources + other.sources,
            np.concatenate([self.source, other.source[new] + len(self.sources)]),
            np.concatenate([self.rows, other.rows[new]]),
        )

    def offence(self, kind: str, image: int, detail: str) -> Offence:
        """Return what is wrong with an image, where it is named first."""
        image_id, row = self.image_ids[image], int(self.rows[image])
        source = self.sources[self.source[image]]
        return Offence(
            kind,
            str(source.file(image_id)),
            row if row >= 0 else None,
            image_id,
            detail=detail,
            row_name=source.row,
        )


@dataclass
class FindingSummary:
    """What was found of one kind.

    Args:
        count: How often.
        first: Where the first is.
        detail: What is wrong there.
        actions: What training does under the policy, and with how many.
        fault: Whether it counts against the dataset.
    """

    count: int
    first: str
    detail: str
    actions: dict[str, int]
    fault: bool


class Tally:
    """Counts findings, and writes what is wrong.

    Args:
        allowed: Kinds that are no fault.
        write: Takes offending rows.
    """

    def __init__(self, allowed: frozenset[str], write: WriteRows) -> None:
        self._allowed, self._write = allowed, write
        self._found: dict[str, FindingSummary] = {}

    def add(self, finding: Finding) -> None:
        """Count a finding, and write its rows unless they are no fault to anybody."""
        first = next(finding.offences)
        if finding.kind not in HARMLESS:
            self._write(chain([first], finding.offences))
        fault = finding.kind not in self._allowed
        new = FindingSummary(0, first.where, first.what, {}, fault)
        summary = self._found.setdefault(finding.kind, new)
        for action, count in finding.actions.items():
            summary.count += count
            summary.actions[action] = summary.actions.get(action, 0) + count

    def found(self) -> dict[str, FindingSummary]:
        """Return the findings in the order of ``KINDS``."""
        return {kind: self._found[kind] for kind in KINDS if kind in self._found}


@contextmanager
def row_writer(path: Path | None) -> Iterator[WriteRows]:
    """Yield a function that writes offending rows as they come, or does nothing."""
    if path is None:
        yield lambda offences: None
        return
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(ROW_COLUMNS)
        yield lambda offences: writer.writerows(o[: len(ROW_COLUMNS)] for o in offences)
