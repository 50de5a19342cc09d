"""Tests for pipelines.exporters.requirements: what the programs cannot express is refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

from pipelines.errors import MismatchError
from pipelines.exporters import detectron2, detic, mmdetection
from pipelines.exporters.base import PlainDetector

FORMS = [detectron2, mmdetection, detic]


@pytest.mark.parametrize("form", FORMS)
def test_features_of_one_length_are_refused(
    source: PlainDetector, tmp_path: Path, form: ModuleType
) -> None:
    """A box head that normalises its features has no place there; the message says where."""
    settings = source.settings.model_copy(update={"normalizes_features": True})
    cosine = replace(source, settings=settings, method="ae-wtn-cosine")

    with pytest.raises(MismatchError, match=r"one length(.|\n)*torchvision, onnx, pt2, directory"):
        form.write(cosine, tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", FORMS)
def test_projected_features_are_refused(
    source: PlainDetector, tmp_path: Path, form: ModuleType
) -> None:
    """The head of zsd is no matrix and bias."""
    projected = replace(source.head, projection=torch.eye(24))

    with pytest.raises(MismatchError, match="zsd projects"):
        form.write(replace(source, head=projected), tmp_path)


@pytest.mark.parametrize("form", [detectron2, mmdetection])
@pytest.mark.parametrize("backbone", ["tiny", "mobilenet_v2"])
def test_backbones_that_a_program_lacks_are_refused(
    detector_on: Callable[[str], PlainDetector], tmp_path: Path, form: ModuleType, backbone: str
) -> None:
    """The backbone and those that would do are named."""
    with pytest.raises(MismatchError, match=rf"no backbone {backbone}, only resnet18 and resnet50"):
        form.write(detector_on(backbone), tmp_path)
