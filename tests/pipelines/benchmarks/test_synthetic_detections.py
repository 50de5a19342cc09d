"""Tests for pipelines.benchmarks.synthetic_detections."""

from pathlib import Path

import numpy as np
import pytest

from pipelines.benchmarks.official_comparison import evaluate_files
from pipelines.benchmarks.synthetic_detections import draw_detections, write_drawn_files
from pipelines.data.annotations import BoxTable
from pipelines.data.open_images import read_boxes
from pipelines.data.predictions import read_predictions


@pytest.mark.parametrize("per_image", [1, 3, 50])
def test_every_image_has_so_many_detections(drawn_truth: BoxTable, per_image: int) -> None:
    """Whatever number is asked for, by image and falling score."""
    found = draw_detections(drawn_truth, per_image, np.random.default_rng(0))

    images, counts = np.unique(found.image, return_counts=True)
    assert images.tolist() == np.unique(drawn_truth.image).tolist()
    assert set(counts.tolist()) == {per_image}
    scores = found.score.reshape(-1, per_image)
    assert (np.diff(scores, axis=1) <= 0).all()
    assert (np.diff(found.image) >= 0).all()


def test_a_fair_detector_is_drawn(drawn_truth: BoxTable, tmp_path: Path) -> None:
    """It is neither perfect nor useless, so that every branch of a metric is taken."""
    drawn = write_drawn_files(tmp_path, drawn_truth, "640x480", 20, images=150)

    figures = [value for value in evaluate_files("oid", drawn.files).values() if value == value]

    assert 0.3 < np.mean(figures) < 0.9


def test_smaller_files_are_part_of_larger_ones(drawn_truth: BoxTable, tmp_path: Path) -> None:
    """Sizes differ in the number of images only: 40 images are among the 90."""
    small, large = (
        write_drawn_files(tmp_path, drawn_truth, "640x480", 5, images=count) for count in (40, 90)
    )

    assert (small.images, small.detections, large.detections) == (40, 200, 450)
    few, many = (read_boxes(drawn.files.boxes) for drawn in (small, large))
    assert set(few.image_ids) < set(many.image_ids)
    assert set(read_predictions(small.files.predictions).image_ids) == set(few.image_ids)


def test_the_boxes_are_written_as_they_are(drawn_truth: BoxTable, tmp_path: Path) -> None:
    """All images asked for, every box comes back in its order, groups included."""
    drawn = write_drawn_files(tmp_path, drawn_truth, "640x480", 5, images=1000)

    written = read_boxes(drawn.files.boxes)
    assert drawn.images == len(set(drawn_truth.image.tolist()))
    np.testing.assert_array_equal(written.boxes, drawn_truth.boxes)
    np.testing.assert_array_equal(written.group_of, drawn_truth.group_of)


def test_the_same_seed_draws_the_same_files(drawn_truth: BoxTable, tmp_path: Path) -> None:
    """A benchmark can be repeated on the very same bytes."""
    first, second = (
        write_drawn_files(tmp_path / name, drawn_truth, "640x480", 5, images=30) for name in "ab"
    )

    assert first.files.predictions.read_bytes() == second.files.predictions.read_bytes()
