"""Tests for pipelines.exporters.detectron2."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipelines.errors import RunError
from pipelines.exporters import detectron2
from pipelines.exporters.base import PlainDetector

KEYS = Path(__file__).with_name("detectron2-resnet18.txt")


def read_state(folder: Path) -> dict[str, Tensor]:
    """Return the tensors of an export."""
    state: dict[str, Tensor] = torch.load(folder / "model.pth", weights_only=True)["model"]
    return state


def test_every_tensor_of_its_model_is_there(source: PlainDetector, tmp_path: Path) -> None:
    """Names and shapes are those of the model that detectron2 builds from this config."""
    detectron2.write(source, tmp_path)

    lines = [f"{name} {list(t.shape)}" for name, t in sorted(read_state(tmp_path).items())]

    assert lines == KEYS.read_text().splitlines()


def test_a_resnet50_has_bottlenecks(
    detector_on: Callable[[str], PlainDetector], tmp_path: Path
) -> None:
    """Third convolutions and a shortcut in the first stage, which resnet18 has not."""
    detectron2.write(detector_on("resnet50"), tmp_path)

    state = read_state(tmp_path)
    stem = "backbone.bottom_up."
    assert state[f"{stem}res5.2.conv3.norm.running_var"].shape == (2048,)
    assert state[f"{stem}res2.0.shortcut.weight"].shape == (256, 64, 1, 1)
    config = (tmp_path / "config.yaml").read_text()
    assert "DEPTH: 50" in config
    assert "RES2_OUT_CHANNELS: 256" in config


def test_background_is_the_last_row_and_says_nothing(source: PlainDetector, tmp_path: Path) -> None:
    """K rows as they were exported, then one of zeros, which must be finite."""
    detectron2.write(source, tmp_path)

    weight = read_state(tmp_path)["roi_heads.box_predictor.cls_score.weight"]

    torch.testing.assert_close(weight[:-1], source.head.weight, rtol=0, atol=0)
    assert not weight[-1].any()


def test_the_config_says_what_the_detector_does(source: PlainDetector, tmp_path: Path) -> None:
    """Each setting in which detectron2's defaults differ is written."""
    detectron2.write(source, tmp_path)

    lines = {line.strip() for line in (tmp_path / "config.yaml").read_text().splitlines()}

    assert {
        "PIXEL_MEAN: [123.675, 116.28, 103.53]",
        "PIXEL_STD: [58.395, 57.12, 57.375]",
        'FORMAT: "RGB"',
        "STRIDE_IN_1X1: false",
        "RES2_OUT_CHANNELS: 64",
        "OUT_CHANNELS: 16",
        "SIZES: [[8], [16], [24], [32], [48]]",
        "ASPECT_RATIOS: [[0.5, 1.0, 2.0]]",
        "PRE_NMS_TOPK_TEST: 20",
        "NUM_CLASSES: 5",
        "SCORE_THRESH_TEST: 1.0e-05",
        "FC_DIM: 24",
        'POOLER_TYPE: "ROIAlign"',
        "POOLER_SAMPLING_RATIO: 2",
        "CLS_AGNOSTIC_BBOX_REG: true",
        "USE_SIGMOID_CE: true",
        "DETECTIONS_PER_IMAGE: 500",
        "MIN_SIZE_TEST: 64",
        "MAX_SIZE_TEST: 96",
    } <= lines


def test_classes_are_listed_in_row_order(source: PlainDetector, tmp_path: Path) -> None:
    """Ids, names and groups, readable as text."""
    detectron2.write(source, tmp_path)

    text = (tmp_path / "classes.json").read_text()

    assert "café" in text
    assert [c["id"] for c in json.loads(text)["classes"]] == list(source.head.vocabulary.ids)


def test_the_box_head_agrees(source: PlainDetector, images: list[Tensor], tmp_path: Path) -> None:
    """On the RoIs of images, to rounding."""
    detectron2.write(source, tmp_path)

    agreement = detectron2.check(source, tmp_path, images)

    assert agreement.count > 20
    assert agreement.scores < 1e-6
    assert agreement.boxes < 1e-3


def test_a_file_that_differs_is_refused(
    source: PlainDetector, images: list[Tensor], tmp_path: Path
) -> None:
    """One wrong number anywhere in the detector is found, and its tensor named."""
    detectron2.write(source, tmp_path)
    state = read_state(tmp_path)
    state["backbone.fpn_output3.bias"][2] += 1
    torch.save({"model": state}, tmp_path / "model.pth")

    with pytest.raises(RunError, match=r"model.pth: backbone.fpn_output3.bias is not in it"):
        detectron2.check(source, tmp_path, images)


@pytest.mark.filterwarnings("ignore")
def test_detectron2_itself_agrees(
    source: PlainDetector, images: list[Tensor], tmp_path: Path
) -> None:
    """Its own model, built from the config, finds the same in our proposals."""
    modeling = pytest.importorskip("detectron2.modeling")
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.config import get_cfg
    from detectron2.structures import Boxes, Instances

    detectron2.write(source, tmp_path)
    config = get_cfg()
    config.merge_from_file(str(tmp_path / "config.yaml"))
    config.MODEL.DEVICE = "cpu"
    theirs = modeling.build_model(config).eval()
    DetectionCheckpointer(theirs).load(str(tmp_path / "model.pth"))

    with torch.inference_mode():
        batch, _ = source.model.transform([images[0].float() / 255])
        features = source.model.backbone(batch.tensors)
        proposals, _ = source.model.rpn(batch, features)
        given = Instances(batch.image_sizes[0])
        given.proposal_boxes = Boxes(proposals[0])
        (found,), _ = theirs.roi_heads(None, theirs.backbone(batch.tensors), [given], None)
        (wanted,), _ = source.model.roi_heads(features, proposals, batch.image_sizes)

    assert found.pred_classes.tolist() == wanted["labels"].tolist()
    torch.testing.assert_close(found.scores, wanted["scores"], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.pred_boxes.tensor, wanted["boxes"], rtol=0, atol=1e-3)
