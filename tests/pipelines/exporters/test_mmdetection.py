"""Tests for pipelines.exporters.mmdetection."""

import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from pipelines.errors import RunError
from pipelines.exporters import mmdetection
from pipelines.exporters.base import PlainDetector

KEYS = Path(__file__).with_name("mmdetection-resnet18.txt")


def read_file(folder: Path) -> dict[str, Any]:
    """Return what is in the weights file of an export."""
    stored: dict[str, Any] = torch.load(folder / "model.pth", weights_only=True)
    return stored


def test_every_tensor_of_its_model_is_there(source: PlainDetector, tmp_path: Path) -> None:
    """Names and shapes are those of the model that mmdetection builds from this config."""
    mmdetection.write(source, tmp_path)

    state = read_file(tmp_path)["state_dict"]

    lines = [f"{name} {list(t.shape)}" for name, t in sorted(state.items())]
    assert lines == KEYS.read_text().splitlines()


def test_there_is_no_background_row(source: PlainDetector, tmp_path: Path) -> None:
    """With its custom loss the head has K rows; the names of the classes lie beside them."""
    mmdetection.write(source, tmp_path)

    stored = read_file(tmp_path)

    rows = stored["state_dict"]["roi_head.bbox_head.fc_cls.weight"]
    torch.testing.assert_close(rows, source.head.weight, rtol=0, atol=0)
    assert stored["meta"]["dataset_meta"]["classes"] == source.head.vocabulary.names


def test_the_config_says_what_the_detector_does(source: PlainDetector, tmp_path: Path) -> None:
    """The file is Python that mmengine runs; it names what differs from the defaults."""
    mmdetection.write(source, tmp_path)

    config = runpy.run_path(str(tmp_path / "config.py"))

    model = config["model"]
    assert model["data_preprocessor"]["mean"] == [123.675, 116.28, 103.53]
    assert model["data_preprocessor"]["bgr_to_rgb"]
    assert (model["backbone"]["depth"], model["neck"]["in_channels"]) == (18, [64, 128, 256, 512])
    assert model["rpn_head"]["anchor_generator"]["base_sizes"] == [8, 16, 24, 32, 48]
    head = model["roi_head"]["bbox_head"]
    assert head["loss_cls"] == {
        "type": "CrossEntropyCustomLoss",
        "use_sigmoid": True,
        "num_classes": 5,
    }
    assert head["bbox_coder"]["target_stds"] == [0.1, 0.1, 0.2, 0.2]
    assert head["reg_class_agnostic"]
    layer = model["roi_head"]["bbox_roi_extractor"]["roi_layer"]
    assert (layer["aligned"], layer["sampling_ratio"]) == (False, 2)
    assert model["test_cfg"]["rpn"]["max_per_img"] == 20
    assert model["test_cfg"]["rcnn"] == {
        "score_thr": 1e-5,
        "nms": {"type": "nms", "iou_threshold": 0.5},
        "max_per_img": 500,
    }
    pipeline = config["test_dataloader"]["dataset"]["pipeline"]
    assert pipeline[1] == {"type": "Resize", "scale": (96, 64), "keep_ratio": True}


def test_a_resnet50_is_wider(detector_on: Callable[[str], PlainDetector], tmp_path: Path) -> None:
    """Its stages have four times the channels."""
    mmdetection.write(detector_on("resnet50"), tmp_path)

    model = runpy.run_path(str(tmp_path / "config.py"))["model"]

    assert model["backbone"]["depth"] == 50
    assert model["neck"]["in_channels"] == [256, 512, 1024, 2048]


def test_the_box_head_agrees(source: PlainDetector, images: list[Tensor], tmp_path: Path) -> None:
    """On the RoIs of images, to rounding."""
    mmdetection.write(source, tmp_path)

    agreement = mmdetection.check(source, tmp_path, images)

    assert agreement.count > 20
    assert agreement.scores < 1e-6
    assert agreement.boxes < 1e-3


def test_a_file_that_differs_is_refused(
    source: PlainDetector, images: list[Tensor], tmp_path: Path
) -> None:
    """A tensor that is lost is named."""
    mmdetection.write(source, tmp_path)
    stored = read_file(tmp_path)
    del stored["state_dict"]["neck.fpn_convs.1.conv.bias"]
    torch.save(stored, tmp_path / "model.pth")

    with pytest.raises(RunError, match=r"neck.fpn_convs.1.conv.bias is not in it"):
        mmdetection.check(source, tmp_path, images)


@pytest.mark.filterwarnings("ignore")
def test_mmdetection_itself_agrees(
    source: PlainDetector, images: list[Tensor], tmp_path: Path
) -> None:
    """Its own model, built from the config, finds the same in our proposals."""
    pytest.importorskip("mmcv.ops")
    apis = pytest.importorskip("mmdet.apis")
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    mmdetection.write(source, tmp_path)
    weights, config = str(tmp_path / "model.pth"), str(tmp_path / "config.py")
    theirs = apis.init_detector(config, weights, device="cpu")

    with torch.inference_mode():
        batch, _ = source.model.transform([images[0].float() / 255])
        features = source.model.backbone(batch.tensors)
        proposals, _ = source.model.rpn(batch, features)
        size = batch.image_sizes[0]
        sample = DetDataSample(metainfo={"img_shape": size, "scale_factor": (1.0, 1.0)})
        given = InstanceData(bboxes=proposals[0], labels=torch.zeros(len(proposals[0])).long())
        pyramid = theirs.extract_feat(batch.tensors)
        found = theirs.roi_head.predict(pyramid, [given], [sample])[0]
        (wanted,), _ = source.model.roi_heads(features, proposals, batch.image_sizes)

    assert theirs.dataset_meta["classes"] == source.head.vocabulary.names
    assert found.labels.tolist() == wanted["labels"].tolist()
    torch.testing.assert_close(found.scores, wanted["scores"], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.bboxes, wanted["boxes"], rtol=0, atol=1e-3)
