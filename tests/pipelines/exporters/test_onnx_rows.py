"""Tests for pipelines.exporters.onnx_rows."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipelines.config import HeadPrecision
from pipelines.exporters import onnx, onnx_rows
from pipelines.exporters.base import PlainDetector
from pipelines.head_rows import decode_rows, encode_rows


@pytest.mark.parametrize(
    ("precision", "stored"),
    [("float32", {"FLOAT"}), ("float16", {"FLOAT16"}), ("int8", {"INT8", "FLOAT"})],
)
def test_rows_are_stored_as_in_the_head(
    precision: HeadPrecision, stored: set[str], source: PlainDetector
) -> None:
    """A graph's rows take the bytes of the head's, and score as its rows do."""
    ir, onnxruntime = pytest.importorskip("onnx_ir"), pytest.importorskip("onnxruntime")
    tensors = encode_rows(source.head.weight, precision)
    rows, _ = decode_rows(Path("head"), tensors, precision, len(source.head.vocabulary))
    x = ir.val("x", ir.DataType.FLOAT, [3, 24])
    weight = ir.Value(name=onnx_rows.WEIGHT, const_value=ir.tensor(rows.numpy()))
    scores = ir.node("Gemm", [x, weight], {"transB": 1})
    scores.outputs[0].name = "scores"
    scores.outputs[0].type = ir.TensorType(ir.DataType.FLOAT)
    graph = ir.Graph(
        [x],
        [scores.outputs[0]],
        nodes=[scores],
        initializers=[weight],
        opset_imports={"": onnx.OPSET},
        name="graph",
    )
    model = ir.Model(graph, ir_version=10)

    onnx_rows.compress_rows(model, replace(source.head, weight=rows, precision=precision))

    assert {value.const_value.dtype.name for value in graph.initializers.values()} == stored
    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    features = torch.randn(3, 24)
    (found,) = session.run(["scores"], {"x": features.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), features @ rows.T)
