"""Tests for pipelines.metrics.blocks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.data.predictions import PredictionTable, read_predictions
from pipelines.errors import MismatchError
from pipelines.metrics.blocks import checked_blocks, detected_blocks, saved_blocks
from pipelines.metrics.checks import PredictionChecks
from pipelines.models.inference import ImageDetections
from pipelines.models.postprocess import Detections
from pipelines.vocabulary import Vocabulary

Build = Callable[..., Any]  # the fixture of conftest.py

NAMES = tuple(f"i{number:03}" for number in range(70))  # more images than go into a block


def _image(name: str, boxes: list[list[float]]) -> ImageDetections:
    found = Detections(
        torch.tensor(boxes).reshape(-1, 4), torch.full((len(boxes),), 0.5), torch.ones(len(boxes))
    )
    return ImageDetections(name, (50, 200), found._replace(classes=found.classes.long()))


def _block(*image_ids: str) -> PredictionTable:
    count = len(image_ids)
    zeros = np.zeros(count, np.int64)
    return PredictionTable(
        image_ids, np.arange(count), ("c",), zeros, np.ones(count), np.zeros((count, 4))
    )


def test_boxes_become_fractions_of_their_images() -> None:
    """Widths are divided by the width, heights by the height; an image may have no detection."""
    sizes: dict[str, tuple[int, int]] = {}
    images = [_image(name, [[20, 5, 100, 50]] if name != "i001" else []) for name in NAMES]

    blocks = list(detected_blocks(images, ("c", "d"), sizes))

    assert [len(block.image_ids) for block in blocks] == [64, 6]
    assert [name for b in blocks for name in b.image_ids] == list(NAMES)
    assert [b.image_ids[row] for b in blocks for row in b.image] == [NAMES[0], *NAMES[2:]]
    np.testing.assert_array_equal(blocks[1].boxes, np.tile([0.1, 0.1, 0.5, 1.0], (6, 1)))
    assert set(blocks[1].label) == {1}
    assert sizes == dict.fromkeys(NAMES, (50, 200))


def test_a_file_is_complete_after_the_last_block(tmp_path: Path) -> None:
    """While blocks pass it is not there; it holds all of them in their order."""
    path = tmp_path / "predictions.csv"
    passed = []
    for block in saved_blocks([_block("i"), _block("j", "k")], path):
        assert not path.exists()
        passed.append(block)

    table = read_predictions(path)
    assert [table.image_ids[row] for row in table.image] == ["i", "j", "k"]
    assert len(passed) == 2


def test_blocks_pass_before_the_file_is_judged(tables: Build) -> None:
    """What is wrong with all of them is known when nothing more can follow."""
    world = tables([("i", "c", (0, 0, 500, 500), False)], [])
    checks = PredictionChecks(Path("p.csv"), world.annotations, Vocabulary(("c",), ("C",)))

    stream = checked_blocks([_block("x"), _block("y")], checks)

    assert [next(stream).image_ids for _ in range(2)] == [("x",), ("y",)]
    with pytest.raises(MismatchError, match="none of its images has boxes"):
        next(stream)
