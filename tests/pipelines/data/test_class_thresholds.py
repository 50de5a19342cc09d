"""Tests for pipelines.data.class_thresholds: a threshold for each class, and bad tables."""

from pathlib import Path

import pytest

from pipelines.data.class_thresholds import read_thresholds
from pipelines.errors import DatasetError, MismatchError
from pipelines.vocabulary import Vocabulary

CLASSES = Vocabulary(("/m/01", "/m/02", "/m/03"), ("Bus", "Cat", "Dog"))


def write(folder: Path, *rows: str) -> Path:
    """Write a table of thresholds."""
    path = folder / "thresholds.csv"
    path.write_text("\n".join(("LabelName,Threshold", *rows)) + "\n")
    return path


def test_others_have_the_default(tmp_path: Path) -> None:
    """Classes keep their order, whatever that of the table; both ends of 0 to 1 are allowed."""
    path = write(tmp_path, "/m/03,1", "/m/01,0")

    assert read_thresholds(path, CLASSES, 0.5).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("row", "error", "what"),
    [
        ("/m/03,1.01", DatasetError, "between 0 and 1, found 1.01"),
        ("/m/03,-0.1", DatasetError, "between 0 and 1, found -0.1"),
        ("/m/03,nan", DatasetError, "finite number"),
        ("/m/03,high", DatasetError, "number, found 'high'"),
        ("/m/01,0.5", DatasetError, "'/m/01' is repeated, first in line 2"),
        ("/m/031,0.5", MismatchError, "unknown class '/m/031'\nDid you mean '/m/03'?"),
        ("Bus,0.5", MismatchError, "unknown class 'Bus'\nName classes by their ids"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, error: type[Exception], what: str) -> None:
    """The message has the file and the line."""
    path = write(tmp_path, "/m/01,0.3", "", row)

    with pytest.raises(error) as raised:
        read_thresholds(path, CLASSES, 0.5)

    assert raised.value.where == f"{path}:4"
    assert what in str(raised.value)
