"""Boxes and image-level labels in the files of Open Images."""

from pathlib import Path
from typing import Any

import numpy as np

from pipelines.data.annotations import BoxTable, ImageLabelTable, Source
from pipelines.data.box_policy import ReadPolicy, check_boxes, refuse_pixels
from pipelines.data.tables import FloatArray, IntArray, Table, read_table
from pipelines.errors import DatasetError

IDS = ("ImageID", "LabelName")
CORNERS = ("XMin", "YMin", "XMax", "YMax")


def read_boxes(path: Path, policy: ReadPolicy = "error") -> BoxTable:
    """Read ImageID, LabelName, XMin, XMax, YMin, YMax and, where present, IsGroupOf.

    Raises:
        DatasetError: If the file is not such a table, most boxes seem to be in pixels, or as
            ``check_boxes`` does.
    """
    table = read_table(path, text=IDS, numbers=CORNERS, optional=("IsGroupOf",), finite=False)
    unknown = np.zeros(len(table.lines))
    group_of = table.numbers.pop("IsGroupOf", unknown) == 1  # -1 means that nobody looked
    boxes = BoxTable.of(
        Source(path), table.lines, **ids(table), boxes=corners(table), group_of=group_of
    )
    if policy in ("error", "clip", "drop"):
        refuse_pixels(boxes)
    return check_boxes(boxes, policy, in_place=True)


def read_image_labels(path: Path) -> ImageLabelTable:
    """Read ImageID, LabelName and Confidence, which is 1 (present) or 0 (absent).

    Raises:
        DatasetError: If the file is not such a table.
    """
    return read_image_label_lines(path)[0]


def read_image_label_lines(path: Path) -> tuple[ImageLabelTable, IntArray]:
    """Read labels as :func:`read_image_labels`, and the line of each, ``[n]``."""
    table = read_table(path, text=IDS, numbers=("Confidence",))
    confidence = table.numbers["Confidence"]
    unverified = (confidence != 0) & (confidence != 1)
    if unverified.any():
        row = int(unverified.argmax())
        raise DatasetError(
            f"Confidence must be 0 or 1, found {confidence[row]}",
            where=f"{path}:{table.lines[row]}",
            mend="Pass the human-verified labels, not the machine-generated ones.",
        )
    return ImageLabelTable(**ids(table), positive=confidence == 1), table.lines


def ids(table: Table) -> dict[str, Any]:
    """Return the images and classes of a table's rows, as the fields of a column table."""
    images, classes = table.text["ImageID"], table.text["LabelName"]
    return {
        "image_ids": images.values,
        "image": images.codes,
        "class_ids": classes.values,
        "label": classes.codes,
    }


def corners(table: Table) -> FloatArray:
    """Return the boxes ``[n, 4]`` of a table's rows; takes their columns out of it, one by one."""
    columns = np.empty((len(CORNERS), len(table.lines)))
    for column, name in zip(columns, CORNERS, strict=True):
        column[:] = table.numbers.pop(name)
    return columns.T
