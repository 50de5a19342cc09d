"""What a graph of torch cannot say, in ONNX's own operators, as onnxscript reads it.

Shapes: M RoIs, K classes, n pairs of class and box.
"""

# mypy: disable-error-code="no-untyped-def, misc, valid-type, arg-type, type-var, return-value"

from onnxscript import FLOAT, INT64, script
from onnxscript import opset18 as op  # torch builds the graph in it, and converts it at last


@script()
def multiclass_nms(
    boxes: FLOAT, best: FLOAT, scores: FLOAT, iou: float, threshold: float, limit: int
) -> INT64:
    """Write :func:`pipelines.exporters.onnx_nms._suppress`; its result is ``[n, 2]``."""
    first = op.Constant(value_ints=[0])
    of_image = op.Unsqueeze(boxes, first)
    most = op.Constant(value_int=limit)
    overlap = op.Constant(value_float=iou)
    least = op.Constant(value_float=threshold)
    some = op.NonMaxSuppression(of_image, op.Unsqueeze(best, first), most, overlap, least)
    count = op.Gather(op.Shape(some), op.Constant(value_int=0))
    if op.GreaterOrEqual(count, most):
        picked = op.Identity(some)
    else:
        picked = op.NonMaxSuppression(of_image, op.Unsqueeze(scores, first), most, overlap, least)
    start = op.Constant(value_ints=[1])  # the first of three columns is the image
    end = op.Constant(value_ints=[3])
    return op.Slice(picked, start, end, start)


def descending_sort(values, stable=True, dim=-1, descending=True):  # noqa: ANN001, ANN201
    """Write ``values.sort(stable=True, descending=True)`` of ``[n]``: TopK is stable."""
    return op.TopK(values, op.Shape(values))
