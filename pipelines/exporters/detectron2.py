"""For detectron2: the whole detector as weights and a config of its own model zoo.

Shapes: K classes, R RoI feature width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import classes_record, write_json
from pipelines.exporters.files import expect_tensors, read_tensors, renamed
from pipelines.exporters.requirements import refuse_normalized_features, resnet_depth
from pipelines.exporters.rois import PooledRoIs, compare_rois, linear, refine_boxes
from pipelines.exporters.yaml_text import to_yaml
from pipelines.models.detection import ROI_SIZE, SAMPLING_RATIO
from pipelines.models.detector_folder import CLASSES
from pipelines.models.roi_heads import BOX_CODER_WEIGHTS

FORM = "detectron2"
WEIGHTS, CONFIG = "model.pth", "config.yaml"

_HEAD = "roi_heads.box_predictor.cls_score"
_BOXES = "roi_heads.box_predictor.bbox_pred"
_NAMES = (
    ("backbone.body.conv1.", "backbone.bottom_up.stem.conv1."),
    ("backbone.body.bn1.", "backbone.bottom_up.stem.conv1.norm."),
    ("backbone.body.", "backbone.bottom_up."),
    *((f".layer{stage}.", f".res{stage + 1}.") for stage in range(1, 5)),
    *((f".bn{place}.", f".conv{place}.norm.") for place in range(1, 4)),
    (".downsample.0.", ".shortcut."),
    (".downsample.1.", ".shortcut.norm."),
    *((f".fpn.inner_blocks.{level}.0.", f".fpn_lateral{level + 2}.") for level in range(4)),
    *((f".fpn.layer_blocks.{level}.0.", f".fpn_output{level + 2}.") for level in range(4)),
    ("rpn.head.conv.0.0.", "proposal_generator.rpn_head.conv."),
    ("rpn.head.cls_logits.", "proposal_generator.rpn_head.objectness_logits."),
    ("rpn.head.bbox_pred.", "proposal_generator.rpn_head.anchor_deltas."),
    ("roi_heads.box_head.fc6.", "roi_heads.box_head.fc1."),
    ("roi_heads.box_head.fc7.", "roi_heads.box_head.fc2."),
    ("roi_heads.class_head.", f"{_HEAD}."),
    ("roi_heads.bbox_pred.", f"{_BOXES}."),
)
_STAGES = ["res2", "res3", "res4", "res5"]
_LEVELS = ["p2", "p3", "p4", "p5", "p6"]


def write(source: PlainDetector, folder: Path) -> None:
    """Write ``model.pth``, ``config.yaml`` and ``classes.json`` into an empty folder.

    Raises:
        MismatchError: If the backbone is no ResNet, or the features are normalised.
    """
    refuse_normalized_features(source, FORM)
    depth = resnet_depth(source, FORM)
    torch.save({"model": _state_dict(source)}, folder / WEIGHTS)
    (folder / CONFIG).write_text(to_yaml(_config(source, depth)))
    write_json(folder / CLASSES, classes_record(source.head))


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Compare the box head that was written with that of the source, on the RoIs of images.

    Raises:
        RunError: If the file is not what was written.
    """
    path = folder / WEIGHTS
    state = read_tensors(path)["model"]
    expect_tensors(path, state, _state_dict(source))

    def box_head(rois: PooledRoIs) -> tuple[Tensor, Tensor]:
        x = linear(state, "roi_heads.box_head.fc1", rois.pooled.flatten(1)).relu()
        x = linear(state, "roi_heads.box_head.fc2", x).relu()
        scores = linear(state, _HEAD, x).sigmoid()[:, :-1]
        return scores, refine_boxes(linear(state, _BOXES, x), rois, BOX_CODER_WEIGHTS)

    return compare_rois(source, images, box_head)


def _state_dict(source: PlainDetector) -> dict[str, Tensor]:
    """Return the tensors in detectron2's names; the background's row is the last, and unused."""
    state = renamed(source.model.state_dict(), _NAMES)
    for name in (f"{_HEAD}.weight", f"{_HEAD}.bias"):
        state[name] = torch.cat([state[name], torch.zeros_like(state[name][:1])])
    return state


def _config(source: PlainDetector, depth: int) -> dict[str, Any]:
    backbone, detector = source.settings.backbone, source.settings.detector
    return {
        "VERSION": 2,
        "MODEL": {
            "META_ARCHITECTURE": "GeneralizedRCNN",
            "WEIGHTS": WEIGHTS,
            "PIXEL_MEAN": [round(255 * value, 9) for value in backbone.image_mean],
            "PIXEL_STD": [round(255 * value, 9) for value in backbone.image_std],
            "BACKBONE": {"NAME": "build_resnet_fpn_backbone"},
            "RESNETS": {
                "DEPTH": depth,
                "NORM": "FrozenBN",
                "OUT_FEATURES": _STAGES,
                "STRIDE_IN_1X1": False,
                "RES2_OUT_CHANNELS": 256 if depth >= 50 else 64,
            },
            "FPN": {"IN_FEATURES": _STAGES, "OUT_CHANNELS": backbone.fpn_channels},
            "ANCHOR_GENERATOR": {
                "SIZES": [[size] for size in detector.anchor_sizes],
                "ASPECT_RATIOS": [list(detector.aspect_ratios)],
                "OFFSET": 0.0,
            },
            "RPN": {
                "IN_FEATURES": _LEVELS,
                "PRE_NMS_TOPK_TRAIN": detector.proposals_train,
                "PRE_NMS_TOPK_TEST": detector.proposals_test,
                "POST_NMS_TOPK_TRAIN": detector.proposals_train,
                "POST_NMS_TOPK_TEST": detector.proposals_test,
                "NMS_THRESH": source.model.rpn.nms_thresh,
            },
            **_roi_config(source),
        },
        "TEST": {"DETECTIONS_PER_IMAGE": detector.detections_per_image},
        "INPUT": {
            "FORMAT": "RGB",
            "MIN_SIZE_TEST": detector.min_size,
            "MAX_SIZE_TEST": detector.max_size,
        },
    }


def _roi_config(source: PlainDetector) -> dict[str, Any]:
    detector = source.settings.detector
    return {
        "ROI_HEADS": {
            "NAME": "StandardROIHeads",
            "IN_FEATURES": _LEVELS[:4],
            "NUM_CLASSES": len(source.head.vocabulary),
            "SCORE_THRESH_TEST": detector.score_threshold,
            "NMS_THRESH_TEST": detector.nms_iou,
        },
        "ROI_BOX_HEAD": {
            "NAME": "FastRCNNConvFCHead",
            "NUM_FC": 2,
            "FC_DIM": detector.roi_width,
            "POOLER_TYPE": "ROIAlign",
            "POOLER_RESOLUTION": ROI_SIZE,
            "POOLER_SAMPLING_RATIO": SAMPLING_RATIO,
            "BBOX_REG_WEIGHTS": list(BOX_CODER_WEIGHTS),
            "CLS_AGNOSTIC_BBOX_REG": True,
            "USE_SIGMOID_CE": True,
        },
    }
