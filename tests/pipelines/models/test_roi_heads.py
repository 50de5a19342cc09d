"""Tests for pipelines.models.roi_heads and the detector built around it."""

import pytest
import torch
from torch import Tensor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import BackboneSettings, DetectorSettings, HeadSettings
from pipelines.models.detection import build_detector
from pipelines.models.heads import ClassRows, ClassRowSource, FixedHead, build_head
from pipelines.models.losses import label_tables
from pipelines.models.roi_heads import class_logits
from pipelines.vocabulary import ClassHierarchy, Vocabulary

IDS = ("a", "b", "c")
SETTINGS = DetectorSettings(
    roi_width=32,
    min_size=64,
    max_size=64,
    anchor_sizes=(8, 16, 24, 32, 48),
    proposals_train=40,
    proposals_test=20,
    rois_per_image=16,
    score_threshold=0.0,
    detections_per_image=9,
)


@pytest.fixture
def detector() -> GeneralizedRCNN:
    """Return a small detector with an AE-WTN head."""
    torch.manual_seed(0)
    rows = torch.randn(5, 6)
    source = ClassRowSource(rows, torch.arange(3), torch.arange(3), torch.empty(0).long())
    head = build_head(HeadSettings(groups=8), source, SETTINGS.roi_width)
    tables = label_tables(Vocabulary(IDS, IDS), ClassHierarchy.flat())
    backbone = BackboneSettings(name="tiny", fpn_channels=8, trainable_stages=5)
    return build_detector(backbone, SETTINGS, head, tables)


def target(count: int) -> dict[str, Tensor]:
    """Return the first boxes of a target."""
    boxes = torch.tensor([[5.0, 5, 30, 40], [20, 20, 60, 60]])[:count]
    return {"boxes": boxes, "labels": torch.tensor([1, 3])[:count]}


def test_training_returns_every_loss_by_name(detector: GeneralizedRCNN) -> None:
    """The names are torchvision's, plus the reconstruction."""
    losses = detector.train()([torch.rand(3, 64, 64)], [target(2)])

    assert set(losses) == {
        "loss_classifier",
        "loss_box_reg",
        "loss_reconstruction",
        "loss_objectness",
        "loss_rpn_box_reg",
    }
    assert all(loss.isfinite() for loss in losses.values())


def test_an_image_without_boxes_trains(detector: GeneralizedRCNN) -> None:
    """Background alone gives finite losses and gradients."""
    losses = detector.train()([torch.rand(3, 64, 64)] * 2, [target(0), target(2)])
    total = sum(losses.values())
    total.backward()

    assert all(p.grad.isfinite().all() for p in detector.parameters() if p.grad is not None)


def test_only_the_head_learns_from_the_reconstruction(detector: GeneralizedRCNN) -> None:
    """The reconstruction loss reaches no parameter outside the transfer network."""
    losses = detector.train()([torch.rand(3, 64, 64)], [target(2)])

    losses["loss_reconstruction"].backward()

    touched = {n for n, p in detector.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched
    assert all(".transfer." in name for name in touched)


def test_labels_are_rows_of_the_head(detector: GeneralizedRCNN) -> None:
    """There is no background class: labels count from 0, scores are the sigmoid's, sorted."""
    with torch.no_grad():
        (found,) = detector.eval()([torch.rand(3, 50, 64)])

    assert len(found["scores"]) == 9
    assert set(found["labels"].tolist()) <= {0, 1, 2}
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    torch.testing.assert_close(found["scores"], torch.full((9,), 0.01))  # zero-gamma: the prior
    assert (found["boxes"] >= 0).all()
    assert (found["boxes"][:, 2] <= 64).all()
    assert (found["boxes"][:, 3] <= 50).all()


def test_training_only_tables_stay_out_of_the_checkpoint(detector: GeneralizedRCNN) -> None:
    """The state dict holds parameters and statistics, nothing that can be derived."""
    names = detector.state_dict().keys()

    assert not any("label_" in name or "._" in name for name in names)
    assert "roi_heads.class_head.standardize.mean" in names


def test_rivals_compete_among_themselves(detector: GeneralizedRCNN) -> None:
    """Each set of classes has its own places, and finds what it finds when it is alone."""
    image = [torch.rand(3, 64, 64)]
    heads = detector.eval().roi_heads
    heads.detections_per_img = 2
    for parameter in heads.class_head.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # or all scores would be equal
    with torch.inference_mode():
        together = detector(image)[0]
        heads.rivals = [torch.tensor([2]), torch.tensor([0, 1])]
        apart = detector(image)[0]
        heads.rivals = [torch.tensor([0, 1])]
        alone = detector(image)[0]

    assert (len(together["scores"]), len(apart["scores"])) == (2, 4)
    assert apart["labels"][:2].tolist() == [2, 2]
    for name in ("boxes", "scores", "labels"):
        torch.testing.assert_close(apart[name][2:], alone[name])
    best = apart["scores"].topk(2)
    torch.testing.assert_close(best.values, together["scores"])
    torch.testing.assert_close(apart["boxes"][best.indices], together["boxes"])


def test_a_threshold_for_each_class_also_holds_among_rivals(detector: GeneralizedRCNN) -> None:
    """Class 1 is never sure enough; the others are found as before."""
    image = [torch.rand(3, 64, 64)]
    heads = detector.eval().roi_heads
    heads.detections_per_img = 60
    with torch.inference_mode():
        before = detector(image)[0]
        heads.score_thresh = torch.tensor([0.0, 1.0, 0.0])
        found = detector(image)[0]
        heads.rivals = [torch.tensor([1, 2]), torch.tensor([0])]
        apart = detector(image)[0]

    assert set(before["labels"].tolist()) == {0, 1, 2}
    assert set(found["labels"].tolist()) == {0, 2}
    assert set(apart["labels"].tolist()) == {0, 2}


@pytest.mark.parametrize("width", [32, 5])
def test_detections_score_as_the_head_scores(detector: GeneralizedRCNN, width: int) -> None:
    """With and without a projection, the best score is that of all features in one product."""
    projection = None if width == 32 else torch.randn(width, 32)
    head = FixedHead(torch.randn(700, width), torch.full((700,), -5.0), projection)
    heads = detector.eval().roi_heads
    heads.class_head = head
    seen = []
    heads.box_head.register_forward_hook(lambda module, given, x: seen.append(x))
    with torch.inference_mode():
        (found,) = detector([torch.rand(3, 64, 64)])

    scores = head(seen[0]).sigmoid()
    torch.testing.assert_close(found["scores"][0], scores.max())
    assert found["labels"][0] == scores.amax(0).argmax()


def test_the_bias_is_not_rounded_to_half_precision() -> None:
    """-8.6 in bfloat16 would be -8.625."""
    rows = ClassRows(torch.eye(2), torch.tensor([-8.6, 1.0]))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = class_logits(torch.tensor([[0.5, 0.25]]), rows, slice(0, 2))

    torch.testing.assert_close(logits, torch.tensor([[-8.1], [1.25]]))
