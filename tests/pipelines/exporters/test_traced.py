"""Tests for pipelines.exporters.onnx and exported_program: what is traced is what was trained."""

import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import Tensor

from pipelines.errors import ConfigError
from pipelines.exporters import exported_program, onnx
from pipelines.exporters.base import PlainDetector


@pytest.mark.parametrize("exporter", [exported_program, onnx])
def test_program_serves_images_of_any_size(
    exporter: ModuleType, trained: PlainDetector, pictures: list[Tensor], tmp_path: Path
) -> None:
    """Images of sizes that it was not traced with, no multiples of 32, give the same detections."""
    if exporter is onnx:
        pytest.importorskip("onnxruntime")
    wide = torch.cat([pictures[0], pictures[0].flip(2)], dim=2)[:, :, :101]
    trained.model.transform.min_size = (96,)

    exporter.write(trained, tmp_path)
    found = exporter.check(trained, tmp_path, [*pictures, wide])

    assert found.count > 100
    assert found.unmatched <= found.count // 100
    assert found.scores < 1e-5
    assert found.boxes < 1e-3
    {exported_program: _check_program, onnx: _check_graph}[exporter](trained, tmp_path)


def test_small_images_are_not_served_by_a_program(
    trained: PlainDetector, pictures: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An image whose resized side is below the least is left out of the comparison."""
    program = SimpleNamespace(module=lambda: pytest.fail)
    monkeypatch.setattr(torch.export, "load", lambda path: program)

    assert exported_program.check(trained, Path(), pictures[:1]).count == 0


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
    """Of each class the best boxes that do not overlap, at most so many."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [50, 50, 60, 60]])
    scores = torch.tensor([[0.9, 0.8, 0.5], [0.3, 0.7, 0.05]])

    assert onnx._suppress(boxes, scores, 0.5, 0.1, 9).tolist() == [[0, 0], [0, 2], [1, 1]]
    assert onnx._suppress(boxes, scores, 0.5, 0.1, 1).tolist() == [[0, 0], [1, 1]]
