"""Tests for pipelines.exporters.graph."""

import torch
from torch import Tensor

from pipelines.exporters.base import PlainDetector
from pipelines.exporters.exported_program import suppress_in_classes
from pipelines.exporters.graph import DetectorGraph
from pipelines.exporters.running import compare_on_resized_images


def test_graph_detects_what_the_detector_does(
    trained: PlainDetector, pictures: list[Tensor]
) -> None:
    """The straight line of calls finds the detections of torchvision's, to rounding."""
    graph = DetectorGraph(trained.model, suppress_in_classes)

    found = compare_on_resized_images(trained, lambda image: graph(image[None]), pictures)

    assert found.count > 100
    assert found.unmatched == 0
    assert found.scores < 1e-5
    assert found.boxes < 1e-3


def test_graph_shares_no_state_with_the_detector(trained: PlainDetector) -> None:
    """Making a graph leaves the detector's own pyramid as it was."""
    before = type(trained.model.backbone.fpn.extra_blocks)

    DetectorGraph(trained.model, suppress_in_classes)

    assert type(trained.model.backbone.fpn.extra_blocks) is before


def test_suppression_keeps_classes_apart() -> None:
    """Equal boxes of two classes both stay; within a class the lower scored goes."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.8, 0.05], [0.3, 0.7, 0.6]])  # [K, M]

    pairs = suppress_in_classes(boxes, scores, 0.5, 0.1, 100)

    assert pairs.tolist() == [[0, 0], [1, 1], [1, 2]]
