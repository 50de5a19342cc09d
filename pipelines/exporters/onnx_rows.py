"""Store the class rows of an ONNX graph as the head file does: in a half or a quarter of the bytes.

Shapes: K classes, R RoI feature width.
"""

from typing import Any

from torch import Tensor

from pipelines.artifacts import DetectionHead
from pipelines.quantization import quantize_rows

WEIGHT = "class_head.weight"


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


def _initializer(model: Any, name: str, values: Tensor) -> Any:  # noqa: ANN401 - of onnx_ir
    import onnx_ir as ir

    value = ir.Value(name=f"{WEIGHT}.{name}", const_value=ir.tensor(values.numpy()))
    model.graph.initializers.add(value)
    return value
