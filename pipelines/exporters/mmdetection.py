"""For mmdetection 3: the whole detector as weights and a config.

Shapes: K classes.
"""

from collections.abc import Sequence
from pathlib import Path
from pprint import pformat
from typing import Any

import torch
from torch import Tensor

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import classes_record, write_json
from pipelines.exporters.files import expect_tensors, read_tensors, renamed
from pipelines.exporters.requirements import refuse_normalized_features, resnet_depth
from pipelines.exporters.rois import PooledRoIs, compare_rois, linear, refine_boxes
from pipelines.models.detection import ROI_SIZE, SAMPLING_RATIO
from pipelines.models.detector_folder import CLASSES
from pipelines.models.roi_heads import BOX_CODER_WEIGHTS, MAX_LOG_SCALE

FORM = "mmdetection"
WEIGHTS, CONFIG = "model.pth", "config.py"

_HEAD = "roi_head.bbox_head."
_NAMES = (
    ("backbone.body.", "backbone."),
    *((f"backbone.fpn.inner_blocks.{i}.0.", f"neck.lateral_convs.{i}.conv.") for i in range(4)),
    *((f"backbone.fpn.layer_blocks.{i}.0.", f"neck.fpn_convs.{i}.conv.") for i in range(4)),
    ("rpn.head.conv.0.0.", "rpn_head.rpn_conv."),
    ("rpn.head.cls_logits.", "rpn_head.rpn_cls."),
    ("rpn.head.bbox_pred.", "rpn_head.rpn_reg."),
    ("roi_heads.box_head.fc6.", f"{_HEAD}shared_fcs.0."),
    ("roi_heads.box_head.fc7.", f"{_HEAD}shared_fcs.1."),
    ("roi_heads.class_head.", f"{_HEAD}fc_cls."),
    ("roi_heads.bbox_pred.", f"{_HEAD}fc_reg."),
)
_STRIDES = [4, 8, 16, 32, 64]
_FINEST_SCALE = 56  # RoIs below 2 * 56 pixels a side are pooled from the first level (FPN, eq. 1)


def write(source: PlainDetector, folder: Path) -> None:
    """Write ``model.pth``, ``config.py`` and ``classes.json`` into an empty folder.

    Raises:
        MismatchError: If the backbone is no ResNet, or the features are normalised.
    """
    refuse_normalized_features(source, FORM)
    depth = resnet_depth(source, FORM)
    classes = {"classes": source.head.vocabulary.names}
    torch.save(
        {"state_dict": _state_dict(source), "meta": {"dataset_meta": classes}}, folder / WEIGHTS
    )
    settings = {"default_scope": "mmdet", "model": _model(source, depth), **_data(source)}
    texts = (f"{n} = {pformat(v, width=100, sort_dicts=False)}\n" for n, v in settings.items())
    (folder / CONFIG).write_text("\n".join(texts), encoding="utf-8")
    write_json(folder / CLASSES, classes_record(source.head))


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Compare the box head that was written with that of the source, on the RoIs of images.

    Raises:
        RunError: If the file is not what was written.
    """
    path = folder / WEIGHTS
    state = read_tensors(path)["state_dict"]
    expect_tensors(path, state, _state_dict(source))

    def box_head(rois: PooledRoIs) -> tuple[Tensor, Tensor]:
        x = linear(state, f"{_HEAD}shared_fcs.0", rois.pooled.flatten(1)).relu()
        x = linear(state, f"{_HEAD}shared_fcs.1", x).relu()
        scores = linear(state, f"{_HEAD}fc_cls", x).sigmoid()
        deltas = linear(state, f"{_HEAD}fc_reg", x)
        return scores, refine_boxes(deltas, rois, BOX_CODER_WEIGHTS, -MAX_LOG_SCALE)

    return compare_rois(source, images, box_head)


def _state_dict(source: PlainDetector) -> dict[str, Tensor]:
    return renamed(source.model.state_dict(), _NAMES)


def _model(source: PlainDetector, depth: int) -> dict[str, Any]:
    backbone, channels = source.settings.backbone, source.settings.backbone.fpn_channels
    widths = [64, 128, 256, 512]
    return {
        "type": "FasterRCNN",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [round(255 * value, 9) for value in backbone.image_mean],
            "std": [round(255 * value, 9) for value in backbone.image_std],
            "bgr_to_rgb": True,
            "pad_size_divisor": 32,
        },
        "backbone": {
            "type": "ResNet",
            "depth": depth,
            "out_indices": (0, 1, 2, 3),
            "norm_cfg": {"type": "BN", "requires_grad": False},
            "norm_eval": True,
            "style": "pytorch",
        },
        "neck": {
            "type": "FPN",
            "in_channels": [4 * width if depth >= 50 else width for width in widths],
            "out_channels": channels,
            "num_outs": len(_STRIDES),
        },
        "rpn_head": _rpn_head(source),
        "roi_head": _roi_head(source),
        "train_cfg": None,
        "test_cfg": _test_settings(source),
    }


def _rpn_head(source: PlainDetector) -> dict[str, Any]:
    detector, channels = source.settings.detector, source.settings.backbone.fpn_channels
    return {
        "type": "RPNHead",
        "in_channels": channels,
        "feat_channels": channels,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "base_sizes": list(detector.anchor_sizes),
            "scales": [1.0],
            "ratios": list(detector.aspect_ratios),
            "strides": _STRIDES,
        },
        "bbox_coder": {"type": "DeltaXYWHBBoxCoder"},
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True},
        "loss_bbox": {"type": "L1Loss"},
    }


def _roi_head(source: PlainDetector) -> dict[str, Any]:
    channels, classes = source.settings.backbone.fpn_channels, len(source.head.vocabulary)
    return {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": {
            "type": "SingleRoIExtractor",
            "roi_layer": {
                "type": "RoIAlign",
                "output_size": ROI_SIZE,
                "sampling_ratio": SAMPLING_RATIO,
                "aligned": False,
            },
            "out_channels": channels,
            "featmap_strides": _STRIDES[:4],
            "finest_scale": _FINEST_SCALE,
        },
        "bbox_head": {
            "type": "Shared2FCBBoxHead",
            "in_channels": channels,
            "fc_out_channels": source.settings.detector.roi_width,
            "roi_feat_size": ROI_SIZE,
            "num_classes": classes,
            "bbox_coder": {
                "type": "DeltaXYWHBBoxCoder",
                "target_stds": [1 / weight for weight in BOX_CODER_WEIGHTS],
            },
            "reg_class_agnostic": True,
            "loss_cls": {
                "type": "CrossEntropyCustomLoss",  # CrossEntropyLoss would end in a softmax
                "use_sigmoid": True,
                "num_classes": classes,
            },
            "loss_bbox": {"type": "L1Loss"},
        },
    }


def _test_settings(source: PlainDetector) -> dict[str, Any]:
    rpn, detector = source.model.rpn, source.settings.detector
    return {
        "rpn": {
            "nms_pre": detector.proposals_test,
            "max_per_img": detector.proposals_test,
            "nms": {"type": "nms", "iou_threshold": rpn.nms_thresh},
            "min_bbox_size": rpn.min_size,
        },
        "rcnn": {
            "score_thr": detector.score_threshold,
            "nms": {"type": "nms", "iou_threshold": detector.nms_iou},
            "max_per_img": detector.detections_per_image,
        },
    }


def _data(source: PlainDetector) -> dict[str, Any]:
    """Return the test pipeline, in the place where mmdetection's inference looks for it."""
    detector = source.settings.detector
    pipeline = [
        {"type": "LoadImageFromFile"},
        {"type": "Resize", "scale": (detector.max_size, detector.min_size), "keep_ratio": True},
        {
            "type": "PackDetInputs",
            "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        },
    ]
    dataset = {"type": "CocoDataset", "ann_file": "", "pipeline": pipeline}
    return {"test_dataloader": {"dataset": dataset}}
