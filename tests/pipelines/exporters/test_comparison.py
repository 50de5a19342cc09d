"""Tests for pipelines.exporters.comparison."""

import torch

from pipelines.exporters.base import Agreement
from pipelines.exporters.comparison import compare_detections
from pipelines.models.postprocess import Detections


def _detections(rows: list[tuple[float, float, int]]) -> Detections:
    """Return detections of boxes 10 pixels wide, from (x, score, class)."""
    boxes = torch.tensor([[x, 0.0, x + 10, 10.0] for x, _, _ in rows]).reshape(-1, 4)
    scores = torch.tensor([score for _, score, _ in rows])
    return Detections(boxes, scores, torch.tensor([k for _, _, k in rows], dtype=torch.int64))


def test_differences_are_those_of_pairs_whatever_their_order() -> None:
    """Each detection is compared with the nearest one of its class."""
    source = _detections([(0, 0.9, 1), (100, 0.8, 1), (0, 0.7, 2)])
    export = _detections([(100.25, 0.799, 1), (0, 0.9, 1), (0, 0.7, 2)])

    found = compare_detections([(source, export)])

    assert (found.compared, found.count, found.unmatched) == ("detections", 3, 0)
    assert found.boxes == 0.25
    assert abs(found.scores - 0.001) < 1e-6


def test_what_only_one_has_is_unmatched() -> None:
    """Another class, a far box, another score, or nothing at all: none is a counterpart."""
    source = _detections([(0, 0.9, 1), (100, 0.8, 1), (200, 0.7, 1), (300, 0.6, 1)])
    export = _detections([(0, 0.9, 3), (102, 0.8, 1), (200, 0.5, 1)])

    assert compare_detections([(source, export)]).unmatched == 7


def test_no_detection_counts_once() -> None:
    """Of two equal detections that meet one, one is left over."""
    source, export = _detections([(0, 0.9, 1), (0, 0.9, 1)]), _detections([(0, 0.9, 1)])

    assert compare_detections([(source, export)]).unmatched == 1


def test_nothing_in_any_image_is_nothing_compared() -> None:
    """Images without detections give a count of 0."""
    empty = _detections([])

    assert compare_detections([(empty, empty)]) == Agreement("detections", 0, 0.0, 0.0, 0)
