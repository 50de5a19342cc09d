"""A table of the scores from which on each class is reported.

Shapes: K classes.
"""

from pathlib import Path

import numpy as np

from pipelines.data.tables import FloatArray, read_table
from pipelines.errors import DatasetError, MismatchError, did_you_mean
from pipelines.vocabulary import Vocabulary


def read_thresholds(path: Path, vocabulary: Vocabulary, default: float) -> FloatArray:
    """Return the threshold of each class, ``[K]``.

    Args:
        path: CSV of ``LabelName,Threshold``, for some classes or all; thresholds from 0 to 1.
        vocabulary: The K classes.
        default: Of the classes that are not in the table.

    Raises:
        DatasetError: If the file is bad, or a class is repeated; names the line.
        MismatchError: If a class is unknown; names the line.
    """
    table = read_table(path, text=("LabelName",), numbers=("Threshold",))
    labels, values = table.text["LabelName"], table.numbers["Threshold"]
    thresholds = np.full(len(vocabulary), default)
    first_lines: dict[str, int] = {}
    for line, code, value in zip(table.lines, labels.codes, values, strict=True):
        class_id, where = labels.values[code], f"{path}:{line}"
        if class_id not in vocabulary:
            raise MismatchError(
                f"unknown class {class_id!r}",
                where=where,
                mend=did_you_mean(class_id, vocabulary.ids)
                or f"Name classes by their ids, such as {vocabulary.ids[0]!r}.",
            )
        if first_lines.setdefault(class_id, line) != line:
            raise DatasetError(
                f"class {class_id!r} is repeated, first in line {first_lines[class_id]}",
                where=where,
                mend="Give a class one threshold.",
            )
        if not 0 <= value <= 1:
            raise DatasetError(
                f"Threshold must lie between 0 and 1, found {value:g}",
                where=where,
                mend="Scores lie between 0 and 1.",
            )
        thresholds[vocabulary.positions[class_id]] = value
    return thresholds
