"""Tests for pipelines.exporters.torchvision, torchvision_softmax, standalone and bundle."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead

from pipelines.errors import MismatchError
from pipelines.exporters import standalone, torchvision, torchvision_softmax
from pipelines.exporters.base import PlainDetector
from pipelines.exporters.bundle import bundle

ALONE = """
import sys
for name in ("pipelines", "wtn_cli", "pydantic", "safetensors", "pyarrow"):
    sys.modules[name] = None  # an import of it fails
sys.path.insert(0, sys.argv[1])
import model
model.main(sys.argv[2:])
"""


def test_detections_are_the_same(
    trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """The shipped code finds the very detections of the trained."""
    torchvision.write(trained, tmp_path)

    found = torchvision.check(trained, tmp_path, pictures)

    assert found.count > 100
    assert (found.scores, found.boxes, found.unmatched) == (0.0, 0.0, 0)


def test_code_runs_where_only_torchvision_is_installed(
    trained: PlainDetector, world: object, tmp_path: Path
) -> None:
    """Without any package of ours, the folder detects and names classes."""
    torchvision.write(trained, tmp_path)
    image = next(iter(sorted(world.images.iterdir())))  # type: ignore[attr-defined]

    ended = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path), str(image)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    first = json.loads(ended.stdout.splitlines()[0])
    assert first["image"] == str(image)
    assert first["id"] == trained.head.vocabulary.ids[first["index"]]
    assert first["group"] == trained.head.groups[first["index"]]
    assert 0 < first["score"] < 1


def test_bundle_imports_nothing_of_ours() -> None:
    """The file holds each import once, those of the standard library first."""
    code = bundle(standalone)

    assert "pipelines" not in code.split("class NormalizedMLPHead")[0]
    imports = [line for line in code.splitlines() if line.startswith(("import ", "from "))]
    assert len(imports) == len(set(imports))
    assert imports[0] == "import json"
    assert "from torch.nn import functional as F" in imports
    compile(code, "model.py", "exec")


def test_features_of_one_length_are_exported(
    trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """A detector that normalises its features is rebuilt with the same box head."""
    from pipelines.models.checkpoints import plain_detector

    settings = trained.settings.model_copy(update={"normalizes_features": True})
    model = plain_detector(settings, trained.head, trained.model.state_dict())
    normalized = replace(trained, model=model, settings=settings)

    torchvision.write(normalized, tmp_path)

    assert torchvision.check(normalized, tmp_path, pictures).scores == 0.0
    with pytest.raises(MismatchError, match="that of stock torchvision does not"):
        torchvision_softmax.write(normalized, tmp_path)


def test_softmax_export_loads_in_stock_torchvision(trained: PlainDetector, tmp_path: Path) -> None:
    """Torchvision's own classes, built as its users build them, take the state dict."""
    torchvision_softmax.write(trained, tmp_path)

    rows = len(trained.head.vocabulary)
    model = FasterRCNN(
        standalone.build(json.loads((tmp_path / "config.json").read_text())).backbone,
        rpn_anchor_generator=trained.model.rpn.anchor_generator,
        box_head=TwoMLPHead(16 * 49, 32),
        box_predictor=FastRCNNPredictor(32, rows + 1),
    )
    model.load_state_dict(torch.load(tmp_path / "model.pth", weights_only=True))
    classes = json.loads((tmp_path / "classes.json").read_text())
    assert (classes["activation"], classes["background_index"]) == ("softmax", 0)
    assert [c["index"] for c in classes["classes"]] == list(range(1, rows + 1))


def test_deflation_is_what_the_softmax_does(
    trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """Scores are exactly those of a softmax over our logits, and lower than the sigmoids."""
    torchvision_softmax.write(trained, tmp_path)

    found = torchvision_softmax.check(trained, tmp_path, pictures)

    assert found.compared == "RoIs"
    assert found.scores < 1e-6
    assert found.deflation
    for row in found.deflation:
        assert row.at_least <= row.sigmoid < row.below
        assert row.softmax < row.sigmoid


def test_deflation_of_given_scores() -> None:
    """Each range holds the means of its RoIs, and empty ranges are left out."""
    sigmoid = torch.tensor([0.3, 0.4, 1.0])
    softmax = torch.tensor([0.1, 0.2, 0.5])

    rows = torchvision_softmax._deflation(sigmoid, softmax)

    assert [(r.at_least, r.below, r.count) for r in rows] == [(0.25, 0.5, 2), (0.75, 1.0, 1)]
    assert rows[0].sigmoid == pytest.approx(0.35)
    assert rows[0].softmax == pytest.approx(0.15)
