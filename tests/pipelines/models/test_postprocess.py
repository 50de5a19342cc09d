"""Tests for pipelines.models.postprocess, against NMS run class by class."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

from pipelines.models.postprocess import (
    Detections,
    Selection,
    best_labels,
    class_aware_nms,
    select_detections,
)


def random_boxes(count: int, generator: torch.Generator) -> Tensor:
    """Return boxes in an image of about 1300 pixels."""
    corners = torch.rand(count, 2, generator=generator) * 1000
    return torch.cat([corners, corners + 20 + torch.rand(count, 2, generator=generator) * 300], 1)


def one_class_at_a_time(
    boxes: Tensor, scores: Tensor, threshold: float, iou: float, limit: int
) -> list[tuple[float, int, int]]:
    """Return ``(score, class, roi)`` of the survivors, best first."""
    found = []
    for k in range(scores.shape[1]):
        rois = (scores[:, k] > threshold).nonzero().flatten()
        for kept in nms(boxes[rois], scores[rois, k], iou).tolist():
            found.append((scores[rois[kept], k].item(), k, int(rois[kept])))
    return sorted(found, reverse=True)[:limit]


@pytest.mark.parametrize(("rois", "classes", "limit"), [(1, 1, 5), (60, 7, 20), (200, 40, 10_000)])
def test_equals_nms_class_by_class(rois: int, classes: int, limit: int) -> None:
    """The chunked search returns exactly what exhaustive per-class NMS returns."""
    generator = torch.Generator().manual_seed(rois)
    boxes, scores = random_boxes(rois, generator), torch.rand(rois, classes, generator=generator)

    found = select_detections(boxes, scores.logit(), Selection(0.05, 0.5, limit))

    expected = one_class_at_a_time(boxes, scores, 0.05, 0.5, limit)
    assert found.scores.tolist() == pytest.approx([score for score, _, _ in expected])
    assert found.classes.tolist() == [k for _, k, _ in expected]
    torch.testing.assert_close(found.boxes, boxes[[roi for _, _, roi in expected]])


def test_heavy_overlap_needs_more_than_the_first_candidates() -> None:
    """When the best candidates suppress each other, lower ones are still found."""
    boxes = torch.cat([torch.tensor([[0.0, 0, 10, 10]]).repeat(50, 1),
                       torch.tensor([[500.0, 500, 510, 510]])])  # fmt: skip
    scores = torch.linspace(0.9, 0.1, 51).unsqueeze(1)

    found = select_detections(boxes, scores.logit(), Selection(0.0, 0.5, 2))

    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.1]))


@pytest.mark.parametrize("num_classes", [5_000, 21_841])
def test_class_ids_in_the_thousands_stay_exact(num_classes: int) -> None:
    """At any class id the survivors are those of per-class NMS, where float32 offsets err."""
    generator = torch.Generator().manual_seed(0)
    boxes = random_boxes(400, generator).repeat(3, 1) + torch.rand(1200, 4, generator=generator)
    scores = torch.rand(1200, generator=generator)
    classes = num_classes - 1 - torch.randint(0, 4, (1200,), generator=generator)

    kept = class_aware_nms(boxes, scores, classes, 0.5)

    rows = [(classes == k).nonzero().flatten() for k in classes.unique()]
    expected = torch.cat([r[nms(boxes[r], scores[r], 0.5)] for r in rows])
    assert set(kept.tolist()) == set(expected.tolist())


def test_the_float32_offset_really_errs() -> None:
    """The trap is real: two boxes just apart enough are merged once float32 moves them far."""
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 19.999]])  # IoU 0.500025
    boxes = torch.cat([boxes, torch.tensor([[990.0, 990.0, 1000.0, 1000.0]])])
    scores, far = torch.tensor([0.9, 0.8, 0.7]), torch.full((3,), 21_840)

    kept = class_aware_nms(boxes, scores, far, 0.5)

    assert kept.tolist() == nms(boxes, scores, 0.5).tolist() == [0, 2]
    assert batched_nms(boxes, scores, far, 0.5).tolist() == [0, 1, 2]


def test_classes_do_not_suppress_each_other() -> None:
    """The same box may be two things at once, also where coordinates are negative."""
    boxes = torch.tensor([[-5.0, -5.0, 10.0, 10.0], [-5.0, -5.0, 10.0, 10.0]])

    assert class_aware_nms(boxes, torch.tensor([0.4, 0.6]), torch.tensor([0, 1]), 0.5).tolist() == [
        1,
        0,
    ]


def test_empty_boxes_and_low_scores_are_dropped() -> None:
    """A box without area is no detection, and a score must exceed the threshold."""
    boxes = torch.tensor([[5.0, 5, 5, 9], [0.0, 0, 9, 9]])
    scores = torch.tensor([[0.9, 0.9], [0.5, 0.2]])

    found = select_detections(boxes, scores.logit(), Selection(0.2, 0.5, 9))

    assert found.classes.tolist() == [0]
    assert found.scores.tolist() == [0.5]


def test_nothing_found_is_three_empty_tensors() -> None:
    """No RoI, or none above the threshold, is an answer too."""
    for rois in (0, 3):
        found = select_detections(
            torch.rand(rois, 4), torch.full((rois, 5), -9.0), Selection(0.1, 0.5, 9)
        )
        assert [part.shape for part in found] == [(0, 4), (0,), (0,)]


def test_best_labels_keeps_one_label_an_object() -> None:
    """Of two classes for one object the better stays, another object is left alone."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]])
    found = Detections(boxes, torch.tensor([0.9, 0.8, 0.3]), torch.tensor([4, 7, 7]))

    best = best_labels(found, 0.5)

    assert best.classes.tolist() == [4, 7]
    assert best.boxes.tolist() == boxes[[0, 2]].tolist()
