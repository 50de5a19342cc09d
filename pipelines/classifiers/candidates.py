"""The layers of a classifier that could be its final one: matrices and 1x1 convolutions.

Shapes: K classes, d features. A weight is ``[K, d]``, ``[d, K]`` or a 1x1 convolution, stored as
``[K, d, 1, 1]`` (PyTorch) or ``[1, 1, d, K]`` (TensorFlow).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Shape = tuple[int, ...]

_WEIGHT_NAME = re.compile(r"^(?:(?P<layer>.+)[./])?(?P<kind>weights?|kernel)$")
_INPUTS_FIRST = ("weights", "kernel")  # TensorFlow's and Flax's names; PyTorch's is "weight"


@dataclass(frozen=True)
class Candidate:
    """A layer that could be the final one.

    Args:
        layer: Its name; that of the tensor when it belongs to no layer.
        weight: The name of its weight.
        bias: The name of its bias, or None.
        shape: The weight's shape as stored.
        num_classes: K.
        width: d.
        rows_are_classes: Whether the stored matrix is ``[K, d]`` rather than ``[d, K]``.
        orientation: How that was decided.
        score: Points; more is likelier.
        reasons: What the points were given for.
    """

    layer: str
    weight: str
    bias: str | None
    shape: Shape
    num_classes: int
    width: int
    rows_are_classes: bool
    orientation: str
    score: float = 0.0
    reasons: tuple[str, ...] = ()


def find_candidates(shapes: Mapping[str, Shape], num_classes: int | None) -> Iterator[Candidate]:
    """Yield the candidates, unscored.

    These are the tensors named like weights, or all matrices where none is.

    Args:
        shapes: The shape of each floating-point tensor.
        num_classes: The length of the class list, when there is one; it tells rows from columns.
    """
    matrices = {name: shape for name, shape in shapes.items() if _is_linear(shape)}
    weights = {name for name in matrices if _WEIGHT_NAME.match(name)}
    for name in matrices:
        if name in weights or not weights:
            yield _candidate(name, shapes, num_classes)


def describe(candidates: Sequence[Candidate]) -> str:
    """Return one line a candidate: its name, stored shape, K and d."""
    return "\n".join(
        f"  {c.layer} {list(c.shape)}: {c.num_classes} classes, {c.width} features"
        for c in candidates
    )


def layer_tensors(tensors: Mapping[str, Tensor], layer: Candidate) -> tuple[Tensor, Tensor | None]:
    """Return a layer's weight ``[K, d]`` and bias ``[K]`` (or None), both float32."""
    matrix = tensors[layer.weight].reshape(_matrix_shape(layer.shape))
    weight = matrix if layer.rows_are_classes else matrix.T
    bias = None if layer.bias is None else tensors[layer.bias].to(torch.float32)
    return weight.to(torch.float32).contiguous(), bias


def _candidate(name: str, shapes: Mapping[str, Shape], num_classes: int | None) -> Candidate:
    rows, columns = _matrix_shape(shapes[name])
    bias = next((b for b in _bias_names(name) if shapes.get(b) in ((rows,), (columns,))), None)
    rows_are_classes, orientation = _orient(
        name, (rows, columns), shapes[bias][0] if bias else None, num_classes
    )
    parts = _WEIGHT_NAME.match(name)
    return Candidate(
        layer=(parts and parts["layer"]) or name,
        weight=name,
        bias=bias,
        shape=shapes[name],
        num_classes=rows if rows_are_classes else columns,
        width=columns if rows_are_classes else rows,
        rows_are_classes=rows_are_classes,
        orientation=orientation,
    )


def _is_linear(shape: Shape) -> bool:
    return all(shape) and (
        len(shape) == 2 or (len(shape) == 4 and (1, 1) in (shape[:2], shape[2:]))
    )


def _matrix_shape(shape: Shape) -> tuple[int, int]:
    rows, columns = shape[2:] if len(shape) == 4 and shape[:2] == (1, 1) else shape[:2]
    return rows, columns


def _bias_names(weight: str) -> tuple[str, ...]:
    parts = _WEIGHT_NAME.match(weight)
    if parts is None:
        return ()
    stem = weight[: parts.start("kind")]
    return f"{stem}bias", f"{stem}biases"


def _orient(
    name: str, shape: tuple[int, int], bias_length: int | None, num_classes: int | None
) -> tuple[bool, str]:
    """Return whether the rows are the classes, and how that was decided."""
    rows, columns = shape
    if rows != columns:
        for length, reason in ((bias_length, "bias"), (num_classes, "class list")):
            if length in shape:
                return length == rows, f"the {reason} has {length} entries"
    parts = _WEIGHT_NAME.match(name)
    if parts and parts["kind"] in _INPUTS_FIRST:
        return False, f"a tensor named {parts['kind']} is stored as [features, classes]"
    return True, "assumed [classes, features], as PyTorch stores it"
