"""A random detector that behaves like a trained one, and torchvision's around the same network.

Shapes: B images, M RoIs of an image, R RoI feature width, K classes.

Weights are random, but what they give is not: normalisation layers are set to the image that is
measured, and class rows are scaled so that the logits have the mean and the spread of detectors
that this project trained (AE-WTN on photographs, 1000 classes: about 60 % of the scores exceed
1e-4, and there is plenty to suppress).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FrozenBatchNorm2d

from pipelines.config import BackboneName, BackboneSettings, DetectorSettings, Precision
from pipelines.data.image_bytes import read_bytes
from pipelines.data.image_decoding import decode
from pipelines.models.checkpoints import NO_TABLES
from pipelines.models.detection import build_detector
from pipelines.models.heads import FixedHead
from pipelines.models.roi_heads import BOX_CODER_WEIGHTS, ROI_IOU

LOGIT_MEAN, LOGIT_SPREAD = -8.6, 1.9  # of trained detectors, see above
BACKGROUND_LOGIT = 0.0  # at which a softmax over one class and background is the sigmoid
DRAWN_SIZE = (480, 640)  # height and width in pixels, the commonest of COCO


@dataclass(frozen=True)
class InferenceSetup:
    """What is measured, but for the number of classes.

    Args:
        backbone: Name of the backbone.
        size: Shortest side of the resized image, in pixels.
        device: As torch names it.
        precision: Of convolutions and matrix products.
        threads: Of the CPU.
        image: A picture; None draws one.
    """

    backbone: BackboneName
    size: int
    device: str
    precision: Precision
    threads: int
    image: Path | None


@dataclass(frozen=True)
class Prepared:
    """A detector without classes, and what its class rows are made for.

    Args:
        model: In evaluation mode; its head has no class yet.
        image: ``[3, H, W]`` float32, 0 to 1, on the device.
        x: ``[M, R]`` RoI features of the image.
    """

    model: GeneralizedRCNN
    image: Tensor
    x: Tensor


@torch.inference_mode()
def prepare(setup: InferenceSetup) -> Prepared:
    """Return the detector of a setup, the same in every process."""
    torch.set_num_threads(setup.threads)
    torch.manual_seed(0)
    settings = DetectorSettings(min_size=setup.size, max_size=max(1333, setup.size))
    nobody = FixedHead(torch.empty(0, settings.roi_width), torch.empty(0))
    backbone = BackboneSettings(name=setup.backbone)
    model = build_detector(backbone, settings, nobody, NO_TABLES).eval().to(setup.device)
    image = _image(setup.image).to(setup.device)
    with normalizing(model.backbone), _kept(model.roi_heads.box_head) as features:
        model([image])
    return Prepared(model, image, features[0])


def class_rows(x: Tensor, classes: int) -> FixedHead:
    """Return K random rows whose logits for features ``[M, R]`` are those of trained detectors."""
    centre = x.mean(dim=0)
    reach = (x - centre).norm(dim=1).square().mean().sqrt()
    generator = torch.Generator().manual_seed(classes)
    weight = torch.randn(classes, x.shape[1], generator=generator).to(x.device)
    weight *= LOGIT_SPREAD / reach
    return FixedHead(weight, LOGIT_MEAN - weight @ centre)


def torchvision_detector(ours: GeneralizedRCNN) -> GeneralizedRCNN:
    """Return torchvision's Faster R-CNN around the same backbone, RPN and box head.

    It is what ``fasterrcnn_resnet50_fpn`` builds with ``num_classes=K + 1``: a softmax, and four
    deltas for each class, here those of our one box layer, repeated.
    """
    heads, rows = ours.roi_heads, ours.roi_heads.class_head
    predictor = FastRCNNPredictor(rows.weight.shape[1], 1 + len(rows.bias)).to(rows.bias.device)
    predictor.cls_score.weight[0], predictor.cls_score.bias[0] = 0.0, BACKGROUND_LOGIT
    predictor.cls_score.weight[1:], predictor.cls_score.bias[1:] = rows.weight, rows.bias
    predictor.bbox_pred.weight.copy_(heads.bbox_pred.weight.repeat(1 + len(rows.bias), 1))
    predictor.bbox_pred.bias.copy_(heads.bbox_pred.bias.repeat(1 + len(rows.bias)))
    stock = RoIHeads(
        heads.box_roi_pool,
        heads.box_head,
        predictor,
        fg_iou_thresh=ROI_IOU,
        bg_iou_thresh=ROI_IOU,
        batch_size_per_image=1,  # of training
        positive_fraction=1.0,  # likewise
        bbox_reg_weights=BOX_CODER_WEIGHTS,
        score_thresh=heads.score_thresh,
        nms_thresh=heads.nms_thresh,
        detections_per_img=heads.detections_per_img,
    )
    return GeneralizedRCNN(ours.backbone, ours.rpn, stock, ours.transform).eval()


def _image(path: Path | None) -> Tensor:
    if path is not None:
        return decode(read_bytes(path), path, upright=True).float() / 255
    coarse = torch.rand(1, 3, 15, 20, generator=torch.Generator().manual_seed(0))
    return F.interpolate(coarse, DRAWN_SIZE, mode="bilinear")[0]


@contextmanager
def normalizing(network: nn.Module) -> Iterator[None]:
    """Let frozen normalisation layers take their statistics from what passes through them."""

    def take(layer: FrozenBatchNorm2d, given: tuple[Tensor]) -> None:
        layer.running_mean.copy_(given[0].mean(dim=(0, 2, 3)))
        layer.running_var.copy_(given[0].var(dim=(0, 2, 3)))

    layers = [m for m in network.modules() if isinstance(m, FrozenBatchNorm2d)]
    hooks = [layer.register_forward_pre_hook(take) for layer in layers]
    yield
    for hook in hooks:
        hook.remove()


@contextmanager
def _kept(module: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list of what a module returns while the block runs."""
    kept: list[Tensor] = []
    hook = module.register_forward_hook(lambda module, given, output: kept.append(output))
    yield kept
    hook.remove()
