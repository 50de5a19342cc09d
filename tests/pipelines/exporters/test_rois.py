"""Tests for pipelines.exporters.rois: what is compared, and the boxes by hand."""

import math

import pytest
import torch
from torch import Tensor

from pipelines.exporters.base import PlainDetector
from pipelines.exporters.rois import PooledRoIs, compare_rois, pool_rois, refine_boxes


def test_the_source_agrees_with_itself(source: PlainDetector, images: list[Tensor]) -> None:
    """All RoIs of all images are compared, and equal numbers are no distance apart."""
    agreement = compare_rois(source, images, lambda rois: (rois.scores, rois.boxes))

    wanted = sum(len(pool_rois(source.model, image).proposals) for image in images)
    assert agreement.count == wanted > 20
    assert (agreement.compared, agreement.scores, agreement.boxes) == ("RoIs", 0.0, 0.0)


def test_one_number_that_differs_is_seen(source: PlainDetector, images: list[Tensor]) -> None:
    """The largest difference counts, wherever it is."""

    def elsewhere(rois: PooledRoIs) -> tuple[Tensor, Tensor]:
        scores, boxes = rois.scores.clone(), rois.boxes.clone()
        scores[3, 1] += 0.25
        boxes[7, 2] -= 3
        return scores, boxes

    agreement = compare_rois(source, images, elsewhere)

    assert agreement.scores == pytest.approx(0.25, abs=1e-6)
    assert agreement.boxes == pytest.approx(3, abs=1e-4)


def test_scores_and_boxes_are_those_of_detections(
    source: PlainDetector, images: list[Tensor]
) -> None:
    """The detector's own detections are among the RoIs' boxes, with the RoIs' scores."""
    height, width = images[0].shape[1:]
    with torch.inference_mode():
        rois = pool_rois(source.model, images[0])
        found = source.model([images[0].float() / 255])[0]
    scale = torch.tensor([rois.size[1] / width, rois.size[0] / height] * 2)
    apart = (found["boxes"] * scale)[:, None] - rois.boxes

    nearest = apart.abs().amax(dim=2).min(dim=1)

    assert float(nearest.values.max()) < 1e-3
    scores = rois.scores[nearest.indices, found["labels"]]
    torch.testing.assert_close(scores, found["scores"])


def refine(deltas: list[float], size: tuple[int, int], *limits: float) -> list[float]:
    """Refine one box of 20 x 40 pixels at (10, 20)."""
    proposals = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    rois = PooledRoIs(torch.empty(0), proposals, size, torch.empty(0), torch.empty(0))
    return refine_boxes(torch.tensor([deltas]), rois, (10, 10, 5, 5), *limits)[0].tolist()


def test_boxes_move_by_their_size_and_scale_by_exp() -> None:
    """A tenth of 20 and of 40 pixels, and twice as wide."""
    assert refine([1, 1, 5 * math.log(2), 0], (100, 100)) == pytest.approx([2, 24, 42, 64])


def test_boxes_end_at_the_image() -> None:
    """The image is 50 high and 40 wide."""
    assert refine([1, 1, 5 * math.log(2), 0], (50, 40)) == pytest.approx([2, 24, 40, 50])


def test_sides_grow_and_shrink_within_limits() -> None:
    """Growth ends at 1000 / 16; shrinking has an end only where a program has one."""
    half = 20 * 1000 / 16 / 2
    assert refine([500, 0, 99, 0], (9999, 9999))[2] == pytest.approx(20 + 1000 + half, rel=1e-5)
    assert refine([0, 0, -50, 0], (99, 99)) == pytest.approx([20, 20, 20, 60], abs=1e-2)
    assert refine([0, 0, -50, 0], (99, 99), -math.log(2))[::2] == pytest.approx([15, 25])
