"""A Faster R-CNN with a sigmoid for every class, for torch and torchvision alone.

    from model import load

    detector = load()                     # of the folder of this file
    found = detector([image])[0]          # image: float RGB [3, H, W] in 0..1
    found["boxes"], found["scores"], found["labels"]

Boxes are in pixels; labels are rows of classes.json, from 0: a sigmoid head has no background. On
the command line, ``python model.py photo.jpg ...`` prints one JSON line for each object.

Shapes: M RoIs, K classes, R RoI feature width, n detections of an image.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import FrozenBatchNorm2d
from torchvision.ops.boxes import clip_boxes_to_image

from pipelines.models.box_head import NormalizedMLPHead, pyramid_pool
from pipelines.models.postprocess import Selection, select_detections
from pipelines.models.tiny import TinyConvNet


def load(folder: str | Path | None = None) -> FasterRCNN:
    """Return the detector of a folder, in evaluation mode, on the CPU."""
    place = Path(__file__).parent if folder is None else Path(folder)
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    model = build(config)
    state = torch.load(place / "model.pth", map_location="cpu", weights_only=True)
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


def build(config: dict[str, Any]) -> FasterRCNN:
    """Return the detector that config.json describes, with random weights."""
    detector, backbone = config["settings"]["detector"], config["settings"]["backbone"]
    body, side = _body(config), config["roi_size"]
    normalizes = config["settings"]["normalizes_features"]
    box_head = NormalizedMLPHead if normalizes else TwoMLPHead
    sizes = tuple((size,) for size in detector["anchor_sizes"])
    model = FasterRCNN(
        body,
        rpn_anchor_generator=AnchorGenerator(
            sizes, (tuple(detector["aspect_ratios"]),) * len(sizes)
        ),
        rpn_pre_nms_top_n_test=detector["proposals_test"],
        rpn_post_nms_top_n_test=detector["proposals_test"],
        box_roi_pool=pyramid_pool(side, config["sampling_ratio"]),
        box_head=box_head(body.out_channels * side**2, config["num_features"]),
        box_predictor=SharedBoxPredictor(config["num_features"], config["num_classes"]),
        box_score_thresh=detector["score_threshold"],
        box_nms_thresh=detector["nms_iou"],
        box_detections_per_img=detector["detections_per_image"],
        min_size=detector["min_size"],
        max_size=detector["max_size"],
        image_mean=backbone["image_mean"],
        image_std=backbone["image_std"],
    )
    model.roi_heads.__class__ = SigmoidRoIHeads  # the same parts; only inference differs
    return model


class SharedBoxPredictor(nn.Module):
    """One row of scores for each of K classes, and one box for all of them.

    Args:
        width: R.
        classes: K.
    """

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, classes)
        self.bbox_pred = nn.Linear(width, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits ``[M, K]`` and box deltas ``[M, 4]`` of features ``[M, R]``."""
        return self.cls_score(x), self.bbox_pred(x)


class SigmoidRoIHeads(RoIHeads):  # type: ignore[misc]  # torchvision is untyped
    """Torchvision's RoI heads with a sigmoid for every class in place of a softmax over all."""

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Return boxes ``[n, 4]``, scores ``[n]`` and labels ``[n]`` of each image.

        Args:
            class_logits: ``[M, K]`` for the RoIs of all images.
            box_regression: ``[M, 4]``.
            proposals: ``[P, 4]`` of each image.
            image_shapes: Height and width of each resized image.
        """
        chosen = Selection(self.score_thresh, self.nms_thresh, self.detections_per_img)
        counts = [len(boxes) for boxes in proposals]
        decoded = self.box_coder.decode(box_regression, proposals).reshape(-1, 4)
        found = [
            select_detections(clip_boxes_to_image(boxes, shape), logits, chosen)
            for boxes, logits, shape in zip(
                torch.split(decoded, counts),
                torch.split(class_logits, counts),
                image_shapes,
                strict=True,
            )
        ]
        return [f.boxes for f in found], [f.scores for f in found], [f.classes for f in found]


def _body(config: dict[str, Any]) -> BackboneWithFPN:
    name = config["settings"]["backbone"]["name"]
    if name == "tiny":
        network: nn.Module = TinyConvNet(num_classes=1, norm_layer=FrozenBatchNorm2d)
    else:
        network = torchvision.models.get_model(name, weights=None, norm_layer=FrozenBatchNorm2d)
        network = getattr(network, "features", network)  # of a MobileNet, whose stages are in it
    channels = config["settings"]["backbone"]["fpn_channels"]
    return BackboneWithFPN(network, config["stages"], config["stage_channels"], channels)


def main(images: list[str]) -> None:
    """Print what is found in the images."""
    if not images or images[0].startswith("-"):
        raise SystemExit("usage: python model.py IMAGE ...")
    if missing := [image for image in images if not Path(image).is_file()]:
        raise SystemExit(f"{missing[0]}: no such file")
    detector, folder = load(), Path(__file__).parent
    classes = json.loads((folder / "classes.json").read_text(encoding="utf-8"))["classes"]
    for image in images:
        pixels = torchvision.io.decode_image(
            image, torchvision.io.ImageReadMode.RGB, apply_exif_orientation=True
        )
        with torch.inference_mode():
            found = detector([pixels.float() / 255])[0]
        columns = (found[key].tolist() for key in ("boxes", "scores", "labels"))
        for box, score, label in zip(*columns, strict=True):
            record = {"image": image, **classes[label], "score": score, "box": box}
            sys.stdout.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
