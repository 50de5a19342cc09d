"""The arrays of an index: which there are, of what numbers, and which are equally long.

Shapes: n boxes, m image-level labels, I images.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ArtifactError

REMAKE = "Make it again: wtn prepare with --force."

_Array: TypeAlias = tuple[type[np.generic], tuple[str | int, ...]]  # a letter stands for a length
_ARRAYS: Mapping[str, _Array] = {
    "image_ids": (np.uint8, ("bytes",)),
    "image_id_ends": (np.int64, ("I",)),
    "image_sizes": (np.int32, ("I", 2)),
    "boxes.image": (np.int64, ("n",)),
    "boxes.label": (np.int64, ("n",)),
    "boxes.corners": (np.float64, ("n", 4)),
    "boxes.group_of": (np.bool_, ("n",)),
    "boxes.source": (np.uint8, ("n",)),
    "boxes.row": (np.int64, ("n",)),
}
_AREA: Mapping[str, _Array] = {"boxes.area": (np.float64, ("n",))}
_LABELS: Mapping[str, _Array] = {
    "labels.image": (np.int64, ("m",)),
    "labels.label": (np.int64, ("m",)),
    "labels.positive": (np.bool_, ("m",)),
}


def refuse_other_layout(path: Path, arrays: Mapping[str, NDArray[Any]], *, labelled: bool) -> None:
    """Compare the arrays with those that an index has, without reading them.

    Args:
        path: The index, for the message.
        arrays: Its arrays; others than those of annotations do not matter here.
        labelled: Whether it must hold image-level labels.

    Raises:
        ArtifactError: If an array is missing, of another kind, or of another shape than the
            arrays that belong to it.
    """
    wanted = dict(_ARRAYS)
    wanted |= _AREA if "boxes.area" in arrays else {}
    wanted |= _LABELS if labelled else {}
    lengths: dict[str | int, int] = {}  # of the letters, from the first array that has each
    for name, (kind, shape) in wanted.items():
        if name not in arrays:
            raise ArtifactError(f"array {name!r} is missing", where=path, mend=REMAKE)
        array = arrays[name]
        for letter, size in zip(shape, array.shape, strict=False):
            if isinstance(letter, str):
                lengths.setdefault(letter, size)
        expected = tuple(lengths.get(size, size) for size in shape)
        if (array.dtype, array.shape) != (np.dtype(kind), expected):
            raise ArtifactError(
                f"array {name!r} is {array.dtype} {list(array.shape)} where "
                f"{np.dtype(kind)} {list(expected)} was expected",
                where=path,
                mend=REMAKE,
            )
