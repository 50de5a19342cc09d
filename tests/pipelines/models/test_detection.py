"""Tests for pipelines.models.detection: the numbers of the release, where torchvision differs."""

import pytest
import torch
from torch import nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.config import BackboneSettings, DetectorSettings
from pipelines.models.detection import build_detector
from pipelines.models.heads import FixedHead
from pipelines.models.losses import label_tables
from pipelines.vocabulary import ClassHierarchy, Vocabulary


@pytest.fixture(scope="module")
def detector() -> GeneralizedRCNN:
    """Return a detector with default numbers on a small backbone."""
    torch.manual_seed(0)
    tables = label_tables(Vocabulary(("a",), ("a",)), ClassHierarchy.flat())
    head = FixedHead(torch.zeros(1, 2048), torch.zeros(1))
    backbone = BackboneSettings(name="tiny", fpn_channels=8)
    return build_detector(backbone, DetectorSettings(), head, tables)


def test_proposals_follow_the_release(detector: GeneralizedRCNN) -> None:
    """Anchors at 0.7 / 0.3, 256 an image, half positive; 2000 or 1000 proposals, NMS 0.7."""
    rpn = detector.rpn

    assert (rpn.proposal_matcher.high_threshold, rpn.proposal_matcher.low_threshold) == (0.7, 0.3)
    assert rpn.proposal_matcher.allow_low_quality_matches
    assert (rpn.fg_bg_sampler.batch_size_per_image, rpn.fg_bg_sampler.positive_fraction) == (
        256,
        0.5,
    )
    assert rpn._pre_nms_top_n == rpn._post_nms_top_n == {"training": 2000, "testing": 1000}
    assert rpn.nms_thresh == 0.7
    assert rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert rpn.anchor_generator.aspect_ratios == ((0.5, 1.0, 2.0),) * 5


def test_rois_follow_the_release(detector: GeneralizedRCNN) -> None:
    """IoU 0.5 parts foreground from background; 512 RoIs, a quarter foreground; 7x7 cells."""
    heads = detector.roi_heads

    matcher, sampler, pool = heads.proposal_matcher, heads.fg_bg_sampler, heads.box_roi_pool
    assert (matcher.high_threshold, matcher.low_threshold) == (0.5, 0.5)
    assert not matcher.allow_low_quality_matches
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (512, 0.25)
    assert heads.box_coder.weights == (10.0, 10.0, 5.0, 5.0)
    assert pool.featmap_names == ["0", "1", "2", "3"]
    assert (pool.output_size, pool.sampling_ratio) == ((7, 7), 2)
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (1e-4, 0.5, 500)


def test_features_can_have_one_length(detector: GeneralizedRCNN) -> None:
    """A normalising box head turns the features of the plain one to length sqrt(R)."""
    tables = label_tables(Vocabulary(("a",), ("a",)), ClassHierarchy.flat())
    head = FixedHead(torch.zeros(1, 2048), torch.zeros(1))
    normalizing = build_detector(
        BackboneSettings(name="tiny", fpn_channels=8),
        DetectorSettings(),
        head,
        tables,
        normalize_features=True,
    )
    normalizing.load_state_dict(detector.state_dict())
    pooled = torch.rand(3, 8, 7, 7)

    with torch.no_grad():
        plain = detector.roi_heads.box_head(pooled)
        features = normalizing.roi_heads.box_head(pooled)

    torch.testing.assert_close(features.norm(dim=1), torch.full((3,), 2048**0.5))
    torch.testing.assert_close(features * plain.norm(dim=1, keepdim=True) / 2048**0.5, plain)


def test_layers_start_as_in_the_release(detector: GeneralizedRCNN) -> None:
    """Two layers of 2048 from Kaiming's uniform with a = 1, one box layer from N(0, 0.001)."""
    heads = detector.roi_heads
    fc6, fc7, box = heads.box_head.fc6, heads.box_head.fc7, heads.bbox_pred

    assert (fc6.out_features, fc7.out_features, box.out_features) == (2048, 2048, 4)
    for layer in (fc6, fc7):
        bound = (3 / layer.in_features) ** 0.5
        assert layer.weight.abs().max().item() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert box.weight.std().item() == pytest.approx(0.001, rel=0.05)
    assert not any(layer.bias.any() for layer in (fc6, fc7, box))
    for layer in detector.rpn.head.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.2)


def test_images_are_resized_and_padded(detector: GeneralizedRCNN) -> None:
    """The shortest side becomes 800, the longest at most 1333, both padded to 32."""
    transform = detector.transform.eval()

    images, _ = transform([torch.rand(3, 100, 150), torch.rand(3, 60, 300)])

    assert images.image_sizes == [(800, 1200), (266, 1333)]
    assert images.tensors.shape == (2, 3, 800, 1344)
