"""Annotated boxes and image-level labels in columns, whatever file they came from.

Shapes: n rows, I images. Boxes are xmin, ymin, xmax, ymax as fractions of the image's width and
height. Rows keep the order of the file: the metrics break ties with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipelines.data.tables import BoolArray, FloatArray, IntArray
from pipelines.vocabulary import Vocabulary

RowName: TypeAlias = Literal["line", "annotation", "object"]
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class Source:
    """A file or folder that rows came from.

    Args:
        path: The file; for ``object`` the folder of one XML file an image.
        row: What its rows are called: a line of a table, an annotation's id, or the place of an
            object in the file of its image.
    """

    path: Path
    row: RowName = "line"

    def file(self, image_id: str) -> Path:
        """Return the file that holds the rows of an image."""
        return self.path / f"{image_id}.xml" if self.row == "object" else self.path

    def where(self, row: int, image_id: str) -> str:
        """Name one row, so that a user can find it."""
        return name_row(self.file(image_id), row, self.row)


def name_row(file: Path | str, row: int, row_name: RowName) -> str:
    """Name a row of a file as :class:`Source` counts it."""
    return f"{file}:{row}" if row_name == "line" else f"{file}: {row_name} {row}"


@dataclass(frozen=True)
class BoxTable:
    """Annotated boxes.

    Args:
        image_ids: ``[I]``, distinct, sorted; an image may have no box.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct, sorted.
        label: ``[n]``, positions in ``class_ids``.
        boxes: ``[n, 4]``.
        group_of: ``[n]``, whether the box holds a group of objects (a crowd in COCO).
        sources: Where the boxes came from.
        source: ``[n]``, positions in ``sources``.
        rows: ``[n]``, the row of each box in its source, such as the line in the file.
        area: ``[n]``, what COCO gives as the object's area in square pixels, or None.
    """

    image_ids: Sequence[str]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    boxes: FloatArray
    group_of: BoolArray
    sources: tuple[Source, ...]
    source: NDArray[np.uint8]
    rows: IntArray
    area: FloatArray | None = None

    @classmethod
    def of(cls, source: Source, rows: IntArray, **columns: Any) -> "BoxTable":  # noqa: ANN401
        """Return the boxes of one source; ``columns`` are the other fields."""
        return cls(sources=(source,), source=np.zeros(len(rows), np.uint8), rows=rows, **columns)

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: IntArray | BoolArray, *, in_place: bool = False) -> "BoxTable":
        """Return some of the boxes; the ids stay.

        Args:
            rows: ``[m]``, their positions, or a mask ``[n]``.
            in_place: Move them to the front of this table's own memory, so that nothing large is
                copied; this table is useless after that. For whoever alone holds it; m <= n.
        """
        take = partial(_take, rows=rows, in_place=in_place)
        return replace(
            self,
            image=take(self.image),
            label=take(self.label),
            boxes=take(self.boxes),
            group_of=take(self.group_of),
            source=take(self.source),
            rows=take(self.rows),
            area=None if self.area is None else take(self.area),
        )

    def where(self, row: int) -> str:
        """Name the place where a box was read."""
        source = self.sources[int(self.source[row])]
        return source.where(int(self.rows[row]), self.image_ids[self.image[row]])

    @property
    def origin(self) -> str:
        """Name the files where the boxes were read."""
        return ", ".join(str(source.path) for source in self.sources)


@dataclass(frozen=True)
class ImageLabelTable:
    """Classes that a person has verified to be in an image, or not to be.

    Args:
        image_ids: ``[I]``, distinct, sorted; an image may have no label.
        image: ``[n]``, positions in ``image_ids``.
        class_ids: Distinct, sorted.
        label: ``[n]``, positions in ``class_ids``.
        positive: ``[n]``, whether the class is in the image.
    """

    image_ids: Sequence[str]
    image: IntArray
    class_ids: tuple[str, ...]
    label: IntArray
    positive: BoolArray

    def __len__(self) -> int:
        return len(self.image)

    def select(self, rows: IntArray | BoolArray, *, in_place: bool = False) -> "ImageLabelTable":
        """Return some of the labels, as :meth:`BoxTable.select` does; the ids stay."""
        take = partial(_take, rows=rows, in_place=in_place)
        return replace(
            self, image=take(self.image), label=take(self.label), positive=take(self.positive)
        )


@dataclass(frozen=True)
class Annotations:
    """All that is known about the images of one split.

    Args:
        image_ids: ``[I]``, distinct, sorted; those of both tables.
        boxes: By image; within an image in the order of the source.
        labels: Verified image-level labels, by image; None says that the boxes are exhaustive.
        vocabulary: The classes, in the order that training gives them.
        sizes: ``[I, 2]``, height and width in pixels; 0 where unknown.
        hierarchy: The nested tree of Open Images, or None.
        expanded: Whether boxes and labels are expanded along the hierarchy already.
    """

    image_ids: Sequence[str]
    boxes: BoxTable
    labels: ImageLabelTable | None
    vocabulary: Vocabulary
    sizes: NDArray[np.int32]
    hierarchy: Mapping[str, Any] | None = None
    expanded: bool = False


def _take(
    column: NDArray[_Number], rows: IntArray | BoolArray, *, in_place: bool
) -> NDArray[_Number]:
    """Return rows of a column, ``[n]`` or ``[n, 4]``, in its own memory if ``in_place``."""
    if not in_place:
        return column[rows]
    size = np.count_nonzero(rows) if rows.dtype == np.bool_ else len(rows)
    for values in np.atleast_2d(column.T):  # one corner at a time
        values[:size] = values[rows]
    return column[:size]
