"""Tests for pipelines.metrics.periodic_evaluation."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN

from pipelines.artifacts import ClassifierWeights, DetectorCheckpoint
from pipelines.config import TrainSettings, validate_settings
from pipelines.distributed import Team
from pipelines.errors import ConfigError, DatasetError, MismatchError
from pipelines.evaluate import GroundTruthFiles, evaluate_detector
from pipelines.metrics.periodic_evaluation import PeriodicEvaluation
from pipelines.metrics.scorer import Scoring
from pipelines.training.inputs import load_inputs
from pipelines.training.model import build_model

Settings = Callable[..., TrainSettings]
Together = Callable[[int, Callable[[Team], object]], list[object]]


@pytest.fixture
def boxes(world: SimpleNamespace, tmp_path: Path) -> Path:
    """Return large boxes of all classes, some of which even an untrained detector finds."""
    ids = [*world.classifier_ids, world.other_id]
    corners = [(0.0, 0.0), (0.0, 0.4), (0.4, 0.0), (0.4, 0.4), (0.2, 0.2)]
    lines = ["ImageID,LabelName,XMin,XMax,YMin,YMax"] + [
        f"img{image},{ids[(5 * image + place + more) % 8]},{x},{x + 0.6},{y},{y + 0.6}"
        for image in range(6)
        for place, (x, y) in enumerate(corners)
        for more in range(3)
    ]
    path = tmp_path / "evaluation-boxes.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def settings(settings_tree: dict[str, Any], world: SimpleNamespace, boxes: Path) -> Settings:
    """Return a function that makes settings of an evaluation, in which detections are few."""

    def make(method: str = "ae-wtn", best: str | None = None, **evaluation: object) -> Any:  # noqa: ANN401
        tree = {**settings_tree, "head": {"method": method, "groups": 8}}
        width = 256 if method == "lsda" else 32
        tree["detector"] |= {
            "detections_per_image": 60, "roi_width": width, "anchor_sizes": [32, 36, 40, 44, 48],
        }  # fmt: skip
        given = {"every": 2, "boxes": boxes, "images": world.images}
        tree["evaluation"] = given | evaluation
        tree["checkpoints"] = {"keep_best": best} if best else {}
        return validate_settings(tree)

    return make


class Training:
    """A model that has not been trained, and what belongs to it."""

    def __init__(self, settings: TrainSettings) -> None:
        self.settings, inputs = settings, load_inputs(settings)
        torch.manual_seed(3)
        self.model: GeneralizedRCNN = build_model(settings, inputs).train()
        self.classifier: ClassifierWeights = inputs.classifier
        self.detection = inputs.detection
        self.evaluation = PeriodicEvaluation(settings, self.classifier, self.detection)

    def evaluate_in(self, team: Team) -> dict[str, float]:
        """Return the figures that a team gets."""
        evaluation = PeriodicEvaluation(self.settings, self.classifier, self.detection, team)
        return evaluation(self.model)

    def save(self, path: Path) -> Path:
        """Write a checkpoint."""
        config = self.settings.model_dump(mode="json", exclude_none=True)
        state = self.model.state_dict()
        DetectorCheckpoint(state, self.classifier, self.detection, config, 1).save(path)
        return path


@pytest.mark.parametrize(
    ("method", "metric"),
    [("ae-wtn", "oid"), ("ae-wtn", "coco"), ("lsda", "aewtn-release"), ("zsd", "oid")],
)
def test_the_figures_are_those_of_the_checkpoint(
    settings: Settings, world: SimpleNamespace, tmp_path: Path, method: str, metric: str
) -> None:
    """Each group's is what wtn evaluate finds when it looks for that group alone."""
    training = Training(settings(method, metric=metric))
    checkpoint = training.save(tmp_path / "checkpoint.safetensors")

    figures = training.evaluation(training.model)

    evaluation = training.settings.evaluation
    expected: dict[str, float] = {}
    for group in ("seen", "novel", "other"):
        report = evaluate_detector(
            checkpoint, None, [world.images], GroundTruthFiles(evaluation.boxes),
            scoring=Scoring(metric, classes=group),
        )  # fmt: skip
        summary = report.by_group()[0]
        expected[f"{group}_AP50"] = summary.AP50
        if metric == "coco":
            expected[f"{group}_AP"] = summary.coco.AP
    assert figures == expected
    assert sorted(training.evaluation.names) == sorted(expected)
    assert figures["seen_AP50"] > 0


def test_it_leaves_no_trace(settings: Settings) -> None:
    """Weights, modes, limits, the class head and the random generators are as they were."""
    training = Training(settings())
    model, heads = training.model, training.model.roi_heads
    model.backbone.eval()  # not all of a model need be in training mode
    modes = [module.training for module in model.modules()]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    head, modules, random_state = heads.class_head, list(model.modules()), torch.get_rng_state()
    assert True in modes
    assert False in modes

    first, second = training.evaluation(model), training.evaluation(model)

    assert first == second
    assert heads.class_head is head
    assert list(model.modules()) == modules
    assert [module.training for module in model.modules()] == modes
    assert (heads.detections_per_img, heads.rivals) == (60, None)
    assert torch.equal(torch.get_rng_state(), random_state)
    after = model.state_dict()
    assert after.keys() == weights.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in weights.items())


def test_the_model_is_put_back_when_an_image_is_bad(
    settings: Settings, world: SimpleNamespace, tmp_path: Path
) -> None:
    """So that what was trained can still be saved."""
    images = tmp_path / "images"
    shutil.copytree(world.images, images)
    training = Training(settings(images=images))
    (images / "img1.png").write_bytes(b"no picture")
    head, names = training.model.roi_heads.class_head, list(training.model.state_dict())

    with pytest.raises(DatasetError, match=r"img1\.png"):
        training.evaluation(training.model)

    assert training.model.roi_heads.class_head is head
    assert list(training.model.state_dict()) == names
    assert training.model.training


def test_the_first_images_with_boxes_are_enough(
    settings: Settings, boxes: Path, world: SimpleNamespace, tmp_path: Path
) -> None:
    """max_images takes so many, and the figures are those of a file that has no others."""
    header, *lines = boxes.read_text().splitlines()
    few = [line for line in lines if line.startswith(("img1", "img2"))]
    (tmp_path / "few.csv").write_text("\n".join([header, *few]) + "\n")
    boxes.write_text("\n".join([header, *few, *[x for x in lines if "img4" in x]]) + "\n")
    labels = world.image_labels  # of img0 too, which has no box here

    limited = Training(settings(max_images=2, image_labels=labels)).evaluation
    cut = Training(settings(boxes=tmp_path / "few.csv", image_labels=labels, max_images=2))

    assert limited.num_images == 2
    figures = limited(cut.model)
    assert figures == cut.evaluation(cut.model)
    assert figures["seen_AP50"] > 0


def test_only_groups_with_boxes_are_looked_for(settings: Settings, boxes: Path) -> None:
    """Boxes of novel classes alone give the novel figure alone, and no seen class is searched."""
    header, *lines = boxes.read_text().splitlines()
    novel = [line for line in lines if line.split(",")[1] in ("/m/04", "/m/06", "/m/07")]
    boxes.write_text("\n".join([header, *novel]) + "\n")
    training = Training(settings())
    searched = set()
    heads = training.model.roi_heads
    heads.register_forward_hook(lambda *_: searched.add(len(heads.class_head.weight)))

    assert training.evaluation.names == ("novel_AP50",)
    assert training.evaluation(training.model).keys() == {"novel_AP50"}
    assert searched == {3}


@pytest.mark.parametrize(
    ("evaluation", "best", "error", "message"),
    [
        ({"boxes": Path("missing.csv")}, None, DatasetError, "missing.csv: no such file"),
        ({"images": ()}, None, ConfigError, "evaluation.images missing"),
        ({"boxes": "strangers"}, None, MismatchError, "none of the 1 classes with boxes in the "),
        ({"images": "elsewhere"}, None, DatasetError, "6 of 6 annotated images are missing"),
        ({}, "novel_AP", ConfigError, "no figure 'novel_AP'\nDid you mean 'novel_AP50'? It has: "
                                      "seen_AP50, novel_AP50, other_AP50."),
        ({"metric": "coco"}, "joint_AP", ConfigError, "no figure 'joint_AP'"),
    ],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused_at_once(
    settings: Settings, tmp_path: Path, evaluation: dict[str, Any], best: str | None,
    error: type[Exception], message: str,
) -> None:  # fmt: skip
    """Before any step of the training."""
    if evaluation.get("boxes") == "strangers":
        stranger = tmp_path / "strangers.csv"
        stranger.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax\nimg0,/m/99,0,1,0,1\n")
        evaluation = {"boxes": stranger}
    if evaluation.get("images") == "elsewhere":
        (tmp_path / "elsewhere").mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / "elsewhere" / "other.png")
        evaluation = {"images": tmp_path / "elsewhere"}

    with pytest.raises(error) as raised:
        Training(settings(best=best, **evaluation))

    assert message in str(raised.value)


@pytest.mark.parametrize("size", [2, 4])
def test_a_team_finds_what_one_finds(settings: Settings, together: Together, size: int) -> None:
    """Bit for bit, with unequal shares and with a process that has none."""
    own = [Training(settings(metric="aewtn-release")) for _ in range(size)]
    alone = Training(own[0].settings)

    figures = together(size, lambda team: own[team.rank].evaluate_in(team))

    assert figures == [alone.evaluation(alone.model)] * size


def test_a_bad_image_ends_all_of_a_team(
    settings: Settings, together: Together, world: SimpleNamespace, tmp_path: Path
) -> None:
    """With the same message, whoever met it."""
    images = tmp_path / "images"
    shutil.copytree(world.images, images)
    own = [Training(settings(images=images)) for _ in range(2)]
    (images / "img5.png").write_bytes(b"no picture")

    ended = together(2, lambda team: own[team.rank].evaluate_in(team))

    assert all(isinstance(error, DatasetError) for error in ended)
    assert all("img5.png" in str(error) for error in ended)
    assert all(training.model.training for training in own)
