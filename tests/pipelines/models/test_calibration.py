"""Tests for pipelines.models.calibration: novel classes score higher, and nothing else changes."""

from dataclasses import fields
from types import SimpleNamespace

import pytest
import torch

from pipelines.artifacts import DetectionHead
from pipelines.errors import ConfigError
from pipelines.models.calibration import shift_novel


@pytest.mark.parametrize("shift", [0.0, 2.5, -1.0])
def test_only_the_biases_of_novel_classes_change(artifacts: SimpleNamespace, shift: float) -> None:
    """By the shift, exactly; the head itself stays as it was."""
    head = DetectionHead.load(artifacts.head)
    before = head.bias.clone()

    shifted = shift_novel(head, shift)

    expected = [b + shift * (g == "novel") for b, g in zip(before, head.groups, strict=True)]
    assert torch.equal(shifted.bias, torch.stack(expected))
    assert torch.equal(head.bias, before)
    others = [field.name for field in fields(head) if field.name != "bias"]
    assert all(getattr(shifted, name) is getattr(head, name) for name in others)


@pytest.mark.parametrize("shift", [float("nan"), float("inf")])
def test_a_shift_is_a_number(shift: float) -> None:
    """What is no number would leave no score to compare."""
    with pytest.raises(ConfigError, match="is no number"):
        shift_novel(SimpleNamespace(groups=()), shift)  # type: ignore[arg-type]
