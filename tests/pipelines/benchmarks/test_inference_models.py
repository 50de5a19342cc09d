"""Tests for pipelines.benchmarks.inference_models and inference_runs."""

import pytest
import torch

from pipelines.benchmarks.inference_models import (
    InferenceSetup,
    Prepared,
    class_rows,
    prepare,
    torchvision_detector,
)
from pipelines.benchmarks.inference_runs import _postprocessors, our_passes

SETUP = InferenceSetup("tiny", 64, "cpu", "float32", 1, None)


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    """Return a tiny detector, its image and the image's features."""
    return prepare(SETUP)


def test_logits_are_those_of_trained_detectors(prepared: Prepared) -> None:
    """Mean -8.6, standard deviation 1.9, and different RoIs favour different classes."""
    logits = class_rows(prepared.x, 300)(prepared.x)

    assert logits.mean().item() == pytest.approx(-8.6, abs=1e-3)
    assert logits.std().item() == pytest.approx(1.9, abs=0.2)
    assert len(logits.argmax(dim=1).unique()) > 30


@torch.inference_mode()
def test_with_one_class_torchvision_finds_the_same(prepared: Prepared) -> None:
    """A softmax over one class and a background of 0 is the sigmoid, and the boxes are shared."""
    model = prepared.model
    model.roi_heads.class_head = class_rows(prepared.x, 1)
    ours = model([prepared.image])[0]
    theirs = torchvision_detector(model)([prepared.image])[0]

    assert len(ours["scores"]) == len(theirs["scores"]) > 0
    torch.testing.assert_close(ours["scores"], theirs["scores"], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours["boxes"], theirs["boxes"], rtol=1e-4, atol=1e-3)
    assert set(theirs["labels"].tolist()) == {1}


@torch.inference_mode()
def test_both_postprocess_the_same_logits(prepared: Prepared) -> None:
    """Called alone they return what the detectors return."""
    model = prepared.model
    model.roi_heads.class_head = class_rows(prepared.x, 3)
    stock = torchvision_detector(model)

    theirs, ours = _postprocessors(prepared, stock)

    torch.testing.assert_close(ours().scores, model([prepared.image])[0]["scores"])
    torch.testing.assert_close(theirs()[1][0], stock([prepared.image])[0]["scores"])


def test_the_caller_keeps_its_threads() -> None:
    """Passes run with the threads of the setup, and what comes after them with those before."""
    torch.set_num_threads(2)

    during = [torch.get_num_threads() for _ in our_passes(SETUP, [3], runs=1)]

    assert (during, torch.get_num_threads()) == ([1, 1], 2)
