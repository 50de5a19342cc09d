"""Tests for pipelines.models.reporting: what is left out of an image's detections."""

from types import SimpleNamespace

import pytest
import torch

from pipelines.models.postprocess import Detections
from pipelines.models.reporting import ReportRules

FOUND = Detections(  # the first two on one object, the others apart
    torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [40, 0, 50, 10]]),
    torch.tensor([0.9, 0.8, 0.7, 0.6]),
    torch.tensor([0, 1, 1, 2]),
)


@pytest.mark.parametrize(
    ("all_labels", "top_k", "kept"),
    [
        (False, None, [0, 2, 3]),
        (True, None, [0, 1, 2, 3]),
        (False, 2, [0, 2]),
        (False, 9, [0, 2, 3]),
    ],
)
def test_what_is_reported(all_labels: bool, top_k: int | None, kept: list[int]) -> None:
    """First one label an object, then k."""
    rules = ReportRules(torch.zeros(3), all_labels, top_k)

    selected = rules.select(FOUND)

    assert selected.scores.tolist() == FOUND.scores[kept].tolist()
    assert selected.classes.tolist() == FOUND.classes[kept].tolist()
    assert selected.boxes.tolist() == FOUND.boxes[kept].tolist()


@pytest.mark.parametrize(("top_k", "places"), [(None, 100), (5, 100), (500, 500)])
def test_the_detector_finds_what_may_be_reported(top_k: int | None, places: int) -> None:
    """Above each class's own threshold, and as many as are asked for."""
    heads = SimpleNamespace(score_thresh=1e-4, detections_per_img=100)
    thresholds = torch.tensor([0.5, 0.25])

    ReportRules(thresholds, top_k=top_k).set_up(SimpleNamespace(roi_heads=heads))

    assert heads.score_thresh is thresholds
    assert heads.detections_per_img == places
