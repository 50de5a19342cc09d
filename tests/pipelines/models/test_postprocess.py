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


@pytest.mark.parametrize("overlapping", [6, 20, 50, 300])
def test_heavy_overlap_needs_more_than_the_first_candidates(overlapping: int) -> None:
    """When the best candidates suppress each other, lower ones are still found.

    One NMS takes 8 candidates here, and 32, 128 and 512 are collected.
    """
    boxes = torch.cat([torch.tensor([[0.0, 0, 10, 10]]).repeat(overlapping, 1),
                       torch.tensor([[500.0, 500, 510, 510]])])  # fmt: skip
    scores = torch.linspace(0.9, 0.1, overlapping + 1).unsqueeze(1)

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


@pytest.mark.parametrize("num_classes", [5_000, 21_841])
def test_large_vocabularies_equal_nms_class_by_class(num_classes: int) -> None:
    """All classes are searched, and survivors are those of each class alone, to the last one."""
    generator = torch.Generator().manual_seed(1)
    boxes = random_boxes(40, generator)
    logits = torch.randn(40, num_classes, generator=generator) * 2 - 12
    logits[:, -2:] += 9  # the last classes have the most to say

    found = select_detections(boxes, logits, Selection(1e-4, 0.5, 10_000))

    expected = one_class_at_a_time(boxes, logits.sigmoid(), 1e-4, 0.5, 10_000)
    roi_of = {tuple(box): roi for roi, box in enumerate(boxes.tolist())}
    pairs = zip(found.classes.tolist(), map(tuple, found.boxes.tolist()), strict=True)
    assert {(k, roi_of[box]) for k, box in pairs} == {(k, roi) for _, k, roi in expected}
    assert len(found.scores) == len(expected) > 500
    assert found.scores.tolist() == pytest.approx([score for score, _, _ in expected])


def test_a_class_far_away_overlaps_as_much_as_the_first() -> None:
    """Boxes that overlap by exactly the limit both stay, whatever the image's extent rounds to."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 20], [0.1, 0.7, 1000.3, 1332.7]])
    scores = torch.tensor([0.9, 0.8, 0.7])

    for k in range(21_000, 21_841):
        assert len(class_aware_nms(boxes, scores, torch.full((3,), k), 0.5)) == 3


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


def test_the_extreme_thresholds_keep_their_meaning() -> None:
    """A score must exceed 0, which the sigmoid of -200 does not, and none exceeds 1."""
    boxes, logits = torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([[-200.0, -80.0, 90.0]])

    assert select_detections(boxes, logits, Selection(0.0, 0.5, 9)).classes.tolist() == [2, 1]
    assert len(select_detections(boxes, logits, Selection(1.0, 0.5, 9)).scores) == 0


def test_each_class_may_have_a_threshold_of_its_own() -> None:
    """What fails its class's threshold takes no place from a lower score that passes."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.3, 0.5], [0.8, 0.2, 0.6]])
    thresholds = torch.tensor([0.85, 0.0, 0.7])

    found = select_detections(boxes, scores.logit(), Selection(thresholds, 0.5, 2))

    assert found.classes.tolist() == [0, 1]
    torch.testing.assert_close(found.scores, torch.tensor([0.9, 0.3]))


def test_of_equal_scores_the_lower_class_comes_first_then_the_lower_roi() -> None:
    """The order is defined, so it does not depend on how the search goes."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])

    found = select_detections(boxes, torch.zeros(2, 2), Selection(0.1, 0.5, 3))

    assert found.classes.tolist() == [0, 0, 1]
    assert found.boxes.tolist() == boxes[[0, 1, 0]].tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_float32_detections(dtype: torch.dtype) -> None:
    """They are compared as the numbers that they are, and scores are not rounded again."""
    boxes = torch.tensor([[0.0, 0, 10, 10]])
    logits = torch.tensor([[-7.0, 1.5]], dtype=dtype)

    found = select_detections(boxes, logits, Selection(9.2e-4, 0.5, 9))  # sigmoid(-7) is 9.11e-4

    assert found.classes.tolist() == [1]
    assert found.scores.dtype == found.boxes.dtype == torch.float32
    torch.testing.assert_close(found.scores, torch.tensor([0.8175745]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_selects_what_a_cpu_selects() -> None:
    """The same logits give the same detections, also in float64 NMS at high class ids."""
    generator = torch.Generator().manual_seed(2)
    boxes = random_boxes(100, generator)
    logits = torch.randn(100, 21_841, generator=generator) * 2 - 9
    chosen = Selection(torch.full((21_841,), 1e-4), 0.5, 300)

    here = select_detections(boxes, logits, chosen)
    there = select_detections(boxes.cuda(), logits.cuda(), chosen)

    assert there.classes.tolist() == here.classes.tolist()
    torch.testing.assert_close(there.boxes.cpu(), here.boxes)
    torch.testing.assert_close(there.scores.cpu(), here.scores)


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
