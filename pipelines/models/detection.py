"""The detector, put together in one place from torchvision's parts and ours."""

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from pipelines.config import BackboneSettings, DetectorSettings
from pipelines.models.backbones import build_backbone
from pipelines.models.box_head import NormalizedMLPHead, pyramid_pool
from pipelines.models.heads import ClassWeightHead, FixedHead
from pipelines.models.losses import LabelTables
from pipelines.models.roi_heads import SigmoidRoIHeads
from pipelines.models.rpn import Float32RPNHead, PerImageRPN
from pipelines.models.sampling import SeededSampler

ROI_SIZE = 7  # RoIAlign's output side, in cells (release)
SAMPLING_RATIO = 2  # RoIAlign's samples per cell side (release)
ANCHORS_PER_IMAGE, OBJECT_FRACTION = 256, 0.5  # that the RPN is trained on (release)


def build_detector(
    backbone: BackboneSettings,
    settings: DetectorSettings,
    head: ClassWeightHead | FixedHead,
    tables: LabelTables,
    backbone_state: Mapping[str, Tensor] | None = None,
    *,
    normalize_features: bool = False,
) -> GeneralizedRCNN:
    """Return Faster R-CNN with FPN, a two-layer box head and the given class head.

    With ``normalize_features`` the box head ends by bringing its features to length sqrt(R).

    In evaluation its ``labels`` are rows of the class head, counted from 0: a sigmoid head has no
    background class.
    """
    body = build_backbone(backbone, backbone_state)
    transform = GeneralizedRCNNTransform(
        settings.min_size, settings.max_size, list(backbone.image_mean), list(backbone.image_std)
    )
    rpn = _build_rpn(body, settings)
    roi_heads = _build_roi_heads(body, settings, head, tables, normalize_features)
    return GeneralizedRCNN(body, rpn, roi_heads, transform)


def _build_rpn(body: BackboneWithFPN, settings: DetectorSettings) -> PerImageRPN:
    """Return the RPN with the release's numbers.

    Unlike the release, torchvision also trains on anchors that cross the image border.
    """
    sizes = tuple((size,) for size in settings.anchor_sizes)
    anchors = AnchorGenerator(sizes, (settings.aspect_ratios,) * len(sizes))
    kept = {"training": settings.proposals_train, "testing": settings.proposals_test}
    rpn = PerImageRPN(
        anchors,
        Float32RPNHead(body.out_channels, anchors.num_anchors_per_location()[0]),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=ANCHORS_PER_IMAGE,
        positive_fraction=OBJECT_FRACTION,
        pre_nms_top_n=kept,
        post_nms_top_n=kept,
        nms_thresh=0.7,
    )
    rpn.fg_bg_sampler = SeededSampler(ANCHORS_PER_IMAGE, OBJECT_FRACTION, stage=1)
    return rpn


def _build_roi_heads(
    body: BackboneWithFPN,
    settings: DetectorSettings,
    head: ClassWeightHead | FixedHead,
    tables: LabelTables,
    normalize_features: bool,
) -> SigmoidRoIHeads:
    pool = pyramid_pool(ROI_SIZE, SAMPLING_RATIO)
    build_box_head = NormalizedMLPHead if normalize_features else TwoMLPHead
    box_head = build_box_head(body.out_channels * ROI_SIZE**2, settings.roi_width)
    for layer in (box_head.fc6, box_head.fc7):
        nn.init.kaiming_uniform_(layer.weight, a=1)
        nn.init.zeros_(layer.bias)
    bbox_pred = nn.Linear(settings.roi_width, 4)
    nn.init.normal_(bbox_pred.weight, std=0.001)
    nn.init.zeros_(bbox_pred.bias)
    return SigmoidRoIHeads(pool, box_head, head, bbox_pred, tables, settings)
