"""Tests for pipelines.metrics.checks. Boxes are in pixels of a 1000 x 1000 image."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.errors import DatasetError, MismatchError
from pipelines.metrics.checks import PredictionChecks
from pipelines.vocabulary import Vocabulary

Build = Callable[..., Any]  # the fixture of conftest.py
Rows = Sequence[tuple[Any, ...]]

INSIDE, PIXELS = (0, 0, 500, 500), (0, 0, 500_000, 500_000)
KNOWN = ("i", "c", INSIDE, 0.5)


def _check(tables: Build, *blocks: Rows) -> None:
    annotations = tables([("i", "c", INSIDE, False)], []).annotations
    checks = PredictionChecks(Path("p.csv"), annotations, Vocabulary(("c", "d"), ("Cat", "Dog")))
    for rows in blocks:
        checks.look_at(tables([KNOWN], rows).predictions)
    checks.finish()


@pytest.mark.parametrize(
    "blocks",
    [
        [],
        [[]],
        [[("x", "c", INSIDE, 0.5)], [KNOWN]],
        [[("i", "x", INSIDE, 0.5)], [("i", "d", INSIDE, 0.5)]],
        [[("i", "c", PIXELS, 0.5)], [KNOWN]],
    ],
)
def test_one_sound_detection_is_enough(tables: Build, blocks: list[Rows]) -> None:
    """Others are allowed beside it, and so are none at all."""
    _check(tables, *blocks)


@pytest.mark.parametrize(
    ("row", "error", "says"),
    [
        (("x", "c", INSIDE, 0.5), MismatchError,
         "p.csv: none of its images has boxes: 'x' here, 'i' in boxes.csv"),
        (("i", "Dog", INSIDE, 0.5), MismatchError,
         "p.csv: none of its detections is of an evaluated class: 'Dog' here, 'c' is evaluated\n"
         "'Dog' is a name: write the class's id, 'd', as LabelName."),
        (("i", "e", INSIDE, 0.5), MismatchError, "LabelName holds the class's id"),
        (("i", "c", PIXELS, 0.5), DatasetError,
         "p.csv: the box [0.0, 0.0, 500.0, 500.0] lies far outside the image (2 such boxes)\n"
         "Coordinates are fractions"),
    ],
)  # fmt: skip
def test_a_file_that_would_score_nothing_is_refused(
    tables: Build, row: tuple[Any, ...], error: type[Exception], says: str
) -> None:
    """The message shows an example, and how to mend it."""
    with pytest.raises(error, match=re.escape(says)):
        _check(tables, [row], [row])
