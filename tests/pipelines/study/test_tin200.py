"""Tests for pipelines.study.tin200."""

from pathlib import Path

import pytest

from pipelines.artifacts import ClassifierWeights
from pipelines.config import validate_settings
from pipelines.data.class_files import read_subset
from pipelines.errors import DatasetError
from pipelines.study.tin200 import NEEDED, Tin200Source
from pipelines.study.worlds import NOVEL_AP50, SEEN_AP50


def nothing(phase: str, done: int, total: int) -> None:
    """Show no progress."""


def test_scale_enlarges_images_and_anchors(tmp_path: Path) -> None:
    """Mosaics of 256 pixels become 512, and the objects in them keep their anchors."""
    settings = Tin200Source(tmp_path, scale=2).world(tmp_path).settings

    detector = validate_settings(settings).detector
    assert (detector.min_size, detector.max_size) == (512, 512)
    assert detector.anchor_sizes == (32, 64, 128, 256, 512)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    """All of them, with the word vectors that were named."""
    source = Tin200Source(tmp_path, words=tmp_path / "words.safetensors")

    with pytest.raises(DatasetError, match=f"{len(NEEDED) + 1} of the files") as raised:
        source.prepare(tmp_path / "world", 0, "cpu", nothing)

    assert str(tmp_path / "tin200/train.zip") in str(raised.value.mend)


@pytest.mark.real_data
def test_the_world_of_the_real_files(real_data: Path, tmp_path: Path) -> None:
    """A classifier of 1000 classes, 150 of them with boxes, and 50 others that are scored."""
    made = Tin200Source(real_data).prepare(tmp_path, 0, "cpu", nothing)

    rows = ClassifierWeights.load(made.settings["classifier"])
    seen, novel = (
        read_subset(Path(made.evaluations[name].classes)).ids for name in (SEEN_AP50, NOVEL_AP50)
    )
    assert rows.weight.shape == (1000, 1280)
    assert (len(seen), len(novel)) == (150, 50)
    assert not set(seen) & set(novel)
    assert set(seen) | set(novel) <= set(rows.vocabulary.ids)
