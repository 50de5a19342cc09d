"""Tests for pipelines.exporters.onnx and exported_program: what is traced is what was trained."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipelines.errors import ConfigError, MismatchError
from pipelines.exporters import exported_program, onnx, onnx_nms
from pipelines.exporters.base import PlainDetector
from pipelines.exporters.graph import MultiClassNMS


@pytest.mark.parametrize("exporter", [exported_program, onnx])
def test_program_serves_images_of_any_size(
    exporter: ModuleType, trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """Images of sizes that it was not traced with, no multiples of 32, give the same detections."""
    if exporter is onnx:
        pytest.importorskip("onnxruntime")
    wide = torch.cat([pictures[0], pictures[0].flip(2)], dim=2)[:, :, :101]

    exporter.write(trained, tmp_path)
    found = exporter.check(trained, tmp_path, [*pictures, wide])

    assert found.count > 100
    assert found.unmatched == 0
    assert found.scores < 1e-5
    assert found.boxes < 1e-3
    {exported_program: _check_program, onnx: _check_graph}[exporter](trained, tmp_path)


def test_small_images_are_not_compared(
    trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """Images that a program does not serve are counted, and told where nothing is left."""
    trained.model.transform.max_size = 96
    thin = pictures[0][:, :20]
    (tmp_path / exported_program.FILE).write_bytes(b"")
    program = SimpleNamespace(
        state_dict={
            "class_head.weight": trained.head.weight,
            "class_head.bias": trained.head.bias,
        },
        module=lambda: pytest.fail,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.export, "load", lambda path, extra_files: program)
        patch.setattr(exported_program, "expect_classes", lambda *given: None)
        patch.setattr(exported_program.json, "loads", lambda text: {})
        found = exported_program.check(trained, tmp_path, [thin])

    assert (found.count, found.left_out) == (0, 1)


def test_a_detector_of_small_images_is_refused(trained: PlainDetector, tmp_path: Path) -> None:
    """A detector that resizes to fewer pixels than a program serves has no such program."""
    small = trained.settings.detector.model_copy(update={"min_size": 64})
    settings = trained.settings.model_copy(update={"detector": small})

    with pytest.raises(MismatchError, match=r"64 pixels on the shorter side(.|\n)*--format onnx"):
        exported_program.write(replace(trained, settings=settings), tmp_path)


@pytest.mark.parametrize("scores", [[0.05, 0.05], [0.5, 0.05], [0.5, 0.5]])
def test_none_one_or_all_survive(scores: list[float]) -> None:
    """The fillers of a traced suppression are not among its survivors."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9]])

    pairs = exported_program.suppress_in_classes(boxes, torch.tensor([scores]), 0.5, 0.1, 9)

    assert pairs.tolist() == [[0, 0]] * (max(scores) > 0.1)


def _check_program(trained: PlainDetector, folder: Path) -> None:
    """The program carries its classes and how images are prepared."""
    files = {"classes.json": "", "preprocessor_config.json": ""}
    torch.export.load(folder / "detector.pt2", extra_files=files)
    classes = json.loads(files["classes.json"])["classes"]
    assert [c["id"] for c in classes] == list(trained.head.vocabulary.ids)
    assert json.loads(files["preprocessor_config.json"])["rescale_factor"] == 1 / 255


def _check_graph(trained: PlainDetector, folder: Path) -> None:
    """The graph is valid ONNX, suppresses by ONNX's operator, and tells its classes."""
    import onnx as library

    library.checker.check_model(folder / "detector.onnx", full_check=True)
    model = library.load(folder / "detector.onnx")
    assert "NonMaxSuppression" in {node.op_type for node in model.graph.node}
    assert not any(node.domain.startswith("wtn") for node in model.graph.node)
    about = {entry.key: entry.value for entry in model.metadata_props}
    names = json.loads(about["names"])
    assert names == {str(i): name for i, name in enumerate(trained.head.vocabulary.names)}
    assert json.loads(about["classes"])[0]["id"] == trained.head.vocabulary.ids[0]
    assert about["activation"] == "sigmoid"
    shapes = [d.dim_param or d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    assert shapes[:2] == [1, 3]
    assert all(isinstance(size, str) for size in shapes[2:])


def test_missing_packages_are_named(
    trained: PlainDetector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without onnxruntime nothing is traced, and the message names the extra."""
    monkeypatch.setattr(onnx, "find_spec", lambda name: None if name == "onnxruntime" else object())

    with pytest.raises(ConfigError) as error:
        onnx.write(trained, tmp_path)

    assert "ONNX needs onnxruntime, which" in str(error.value)
    assert 'pip install "wtn-cli[onnx]"' in str(error.value)


def test_eager_suppression_is_onnx_s() -> None:
    """Of each class the best boxes that do not overlap, at most so many; the best come first."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([[0.6, 0.5, 0.4], [0.3, 0.7, 0.05]])

    assert onnx_nms.best_first(boxes, scores, 0.5, 0.1, 9).tolist() == [[1, 1], [0, 0], [0, 2]]
    assert onnx_nms.best_first(boxes, scores, 0.5, 0.1, 1).tolist() == [[1, 1], [0, 0]]


@given(st.integers(1, 30), st.integers(2, 40), st.integers(1, 8), st.integers(0, 1000))
def test_sparing_low_scores_changes_nothing(
    classes: int, boxes: int, limit: int, seed: int
) -> None:
    """The best so many survivors are those of all scores, whether or not they had to be asked."""
    random = torch.Generator().manual_seed(seed)
    corners = 20 * torch.rand(boxes, 2, generator=random)
    places = torch.cat([corners, corners + 10], dim=1)
    scores = torch.rand(classes, boxes, generator=random)

    spared = onnx_nms.best_first(places, scores, 0.3, 0.1, limit)[:limit]

    every = onnx_nms._in_classes(places, scores, 0.3, 0.1, limit)
    order = scores[every[:, 0], every[:, 1]].sort(descending=True, stable=True).indices
    assert spared.tolist() == every[order][:limit].tolist()


@pytest.mark.parametrize("suppress", [exported_program.suppress_in_classes, onnx_nms.best_first])
def test_equal_scores_keep_the_order_of_classes(suppress: MultiClassNMS) -> None:
    """Classes that borrowed one row tie; the first of them comes first, as in the detector."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    scores = torch.tensor([[0.5, 0.75]]).expand(40, 2).contiguous()

    pairs = suppress(boxes, scores, 0.5, 0.1, 50)[:50]

    assert pairs.tolist() == [[k, 1] for k in range(40)] + [[k, 0] for k in range(10)]
