"""Tests for pipelines.training.acceleration."""

from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import (
    BackboneSettings,
    DetectorSettings,
    EngineSettings,
    HeadSettings,
    OptimizerSettings,
    ScheduleSettings,
)
from pipelines.errors import ConfigError
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRowSource, build_head
from pipelines.models.losses import LabelTables
from pipelines.training.acceleration import accelerate
from pipelines.training.optimizers import Optimizers

CPU = torch.device("cpu")
SIZES = ((64, 64), (64, 96), (96, 64))  # height and width in pixels


def detector(engine: EngineSettings) -> GeneralizedRCNN:
    """Return a small detector with an AE-WTN head for five seen classes."""
    torch.manual_seed(0)
    five = torch.arange(5)
    head = build_head(
        HeadSettings(groups=2, zero_gamma=False),
        ClassRowSource(torch.randn(8, 6), five, five, five[:0]),
        16,
    )
    tables = LabelTables(F.pad(torch.eye(5), (0, 0, 1, 0)), torch.ones(6, 5), torch.ones(6))
    settings = DetectorSettings(
        min_size=64, max_size=128, roi_width=16, rois_per_image=16, proposals_train=20
    )
    backbone = BackboneSettings(name="tiny", fpn_channels=8, trainable_stages=5)
    model = build_detector(backbone, settings, head, tables).train()
    accelerate(model, engine, CPU)
    return model


def gradients(model: GeneralizedRCNN) -> dict[str, Tensor]:
    """Return the gradient of every parameter, from images of three sizes."""
    for size in SIZES:
        images = [torch.rand(3, *size, generator=torch.Generator().manual_seed(size[1]))]
        target = {"boxes": torch.tensor([[5.0, 5, 40, 45]]), "labels": torch.tensor([2])}
        torch.manual_seed(7)  # of the sampling of anchors and RoIs
        sum(model(images, [target]).values()).backward()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(scope="module")
def plain() -> GeneralizedRCNN:
    """Return the detector as it is, with gradients."""
    model = detector(EngineSettings())
    gradients(model)
    return model


def same_as(model: GeneralizedRCNN, plain: GeneralizedRCNN) -> None:
    """Assert that names are those of the plain detector, and gradients too but for rounding."""
    expected = {name: p.grad for name, p in plain.named_parameters() if p.grad is not None}
    assert list(model.state_dict()) == list(plain.state_dict())
    torch.testing.assert_close(gradients(model), expected, rtol=1e-4, atol=1e-7)


def test_channels_last_changes_the_layout_alone(plain: GeneralizedRCNN) -> None:
    """Images and all convolutions have it, and gradients are the same to rounding."""
    model = detector(EngineSettings(channels_last=True))
    seen: list[Tensor] = []
    model.backbone.body.conv1.register_forward_pre_hook(lambda _, given: seen.append(given[0]))

    same_as(model, plain)

    convolved = [p for p in model.parameters() if p.dim() == 4 and p.shape[2] > 1]
    assert len(convolved) > 10
    assert all(t.is_contiguous(memory_format=torch.channels_last) for t in [*seen, *convolved])


def test_fused_steps_keep_weights_and_their_layout_together() -> None:
    """A fused step goes through memory in one sweep: all it reads must be laid out alike."""
    stepped = []
    for engine in (EngineSettings(fused=False), EngineSettings(channels_last=True)):
        model = detector(engine)
        schedule = ScheduleSettings(warmup_iterations=0)
        optimizers = Optimizers(model, OptimizerSettings(), schedule, fused=engine.fused)
        for _ in range(2):
            optimizers.zero_grad()
            gradients(model)
            optimizers.step()
        stepped.append({name: p.detach() for name, p in model.named_parameters()})

    torch.testing.assert_close(stepped[1], stepped[0], rtol=1e-3, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # torch's own, while it traces
def test_compiled_modules_compute_the_same(
    plain: GeneralizedRCNN, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Checkpoints keep their names; here modules are traced, as no test waits for a compiler."""
    traced: list[object] = []

    def trace(graph: torch.fx.GraphModule, inputs: object) -> object:
        traced.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=trace))

    same_as(detector(EngineSettings(compile=True)), plain)

    assert 3 <= len(traced) <= 6  # the trial, the box head, the backbone for squares and others


def test_a_missing_compiler_is_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says what torch lacks, and what to do."""

    def fail(*_: object) -> object:
        raise RuntimeError("InvalidCxxCompiler: No working C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", lambda function: fail)

    with pytest.raises(ConfigError) as caught:
        detector(EngineSettings(compile=True))

    assert caught.value.what == (
        "torch.compile does not work here (InvalidCxxCompiler: No working C++ compiler found)"
    )
    assert caught.value.where == "engine.compile"
