"""How the class rows of a head are stored: as they are, in half the bytes, or in a quarter.

Shapes: K classes, R RoI feature width.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor

from pipelines.config import HeadPrecision
from pipelines.errors import ArtifactError, ConfigError, RunError
from pipelines.quantization import QuantizedRows, quantize_rows
from pipelines.storage import expect_shape, required_tensor

WEIGHT = "cls_score.weight"
SCALE = "cls_score.scale"
_STORED = {"float32": torch.float32, "float16": torch.float16, "int8": torch.int8}


def encode_rows(weight: Tensor, precision: HeadPrecision) -> dict[str, Tensor]:
    """Return the tensors that store rows ``[K, R]`` float32.

    Raises:
        ConfigError: If a number is too large for float16.
        RunError: If a number is not finite.
    """
    if not bool(weight.isfinite().all()):
        raise RunError(
            "a row of the head holds a number that is not finite",
            mend="The training diverged; train again with a lower learning rate.",
        )
    if precision == "int8":
        rows = quantize_rows(weight)
        return {WEIGHT: rows.codes, SCALE: rows.scale}
    stored = weight.to(_STORED[precision])
    if not bool(stored.isfinite().all()):
        raise ConfigError(
            f"a weight of the head, {weight.abs().max():g}, is too large for {precision}",
            mend="Use --precision int8, which scales each row.",
        )
    return {WEIGHT: stored}


def decode_rows(
    path: Path, tensors: Mapping[str, Tensor], precision: object, classes: int
) -> tuple[Tensor, HeadPrecision]:
    """Return the rows ``[K, R]`` float32 of a file, and the precision that they were stored in.

    Args:
        path: The file, for messages.
        tensors: What is in it.
        precision: What its header says.
        classes: K.

    Raises:
        ArtifactError: If the precision is not known, or a tensor is missing or of another type or
            shape.
    """
    known = next((name for name in get_args(HeadPrecision) if name == precision), None)
    if known is None:
        raise ArtifactError(
            f"rows of precision {precision!r} are not known",
            where=path,
            mend="Install the version of wtn-cli that wrote it, or export the head again.",
        )
    weight = required_tensor(path, tensors, WEIGHT)
    expect_shape(path, WEIGHT, weight, (classes, None), _STORED[known])
    if known != "int8":
        return weight.float(), known
    scale = required_tensor(path, tensors, SCALE)
    expect_shape(path, SCALE, scale, (classes,))
    return QuantizedRows(weight, scale).dequantize(), known
