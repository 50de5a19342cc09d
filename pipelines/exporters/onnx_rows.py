"""Store the class rows of an ONNX graph as the head file does: in a half or a quarter of the bytes.

Shapes: K classes, R RoI feature width.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pipelines.artifacts import DetectionHead
from pipelines.exporters.files import expect_tensors
from pipelines.quantization import QuantizedRows, quantize_rows

HEAD = "class_head."
WEIGHT, BIAS = f"{HEAD}weight", f"{HEAD}bias"


def compress_rows(model: Any, head: DetectionHead) -> None:  # noqa: ANN401 - onnx_ir.Model
    """Replace the rows ``[K, R]`` of a graph by their codes and what makes them float32 again.

    Args:
        model: An ``onnx_ir.Model`` with one use of the rows.
        head: What the rows are, and the precision that they are stored in.
    """
    import onnx_ir as ir

    if head.precision == "float32":
        return
    rows = model.graph.initializers[WEIGHT]
    (use,) = rows.uses()
    if head.precision == "float16":
        stored = [_initializer(model, "half", head.weight.half())]
        node = ir.node("Cast", stored, {"to": ir.DataType.FLOAT})
    else:
        codes, scale = quantize_rows(head.weight)
        stored = [_initializer(model, "codes", codes), _initializer(model, "scale", scale)]
        node = ir.node("DequantizeLinear", stored, {"axis": 0})
    model.graph.insert_before(use.node, node)
    use.node.replace_input_with(use.idx, node.outputs[0])
    del model.graph.initializers[WEIGHT]


def expect_rows(path: Path, head: DetectionHead) -> None:
    """Raise RunError unless a file holds the rows and biases of a head, bit for bit."""
    import onnx

    stored = {
        value.name.removeprefix(f"{WEIGHT}."): torch.tensor(onnx.numpy_helper.to_array(value))
        for value in onnx.load(path).graph.initializer
        if value.name.startswith(HEAD)
    }
    rows = stored.get(WEIGHT, stored.get("half"))
    if "codes" in stored:
        rows = QuantizedRows(stored["codes"], stored["scale"]).dequantize()
    found = {} if rows is None else {WEIGHT: rows.float()}
    wanted = {WEIGHT: head.weight, BIAS: head.bias}
    expect_tensors(path, found | {BIAS: stored[BIAS]} if BIAS in stored else found, wanted)


def _initializer(model: Any, name: str, values: Tensor) -> Any:  # noqa: ANN401 - of onnx_ir
    import onnx_ir as ir

    value = ir.Value(name=f"{WEIGHT}.{name}", const_value=ir.tensor(values.numpy()))
    model.graph.initializers.add(value)
    return value
