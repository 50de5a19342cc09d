"""Artifacts of many large arrays: written one array at a time, memory-mapped when read.

The file is a safetensors file like every artifact: the length of the header (8 bytes, little
endian), the header (JSON, padded to 8 bytes), and the arrays end to end.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import ArtifactError
from pipelines.provenance import Provenance
from pipelines.storage import atomic_path, header_metadata, opened

_LENGTH = struct.Struct("<Q")
_ROWS_PER_WRITE = 1 << 16  # that are put in order at once, if the array is stored by column
_DTYPES = {
    np.dtype(np.bool_): "BOOL",
    np.dtype(np.uint8): "U8",
    np.dtype(np.uint16): "U16",
    np.dtype(np.uint32): "U32",
    np.dtype(np.int32): "I32",
    np.dtype(np.int64): "I64",
    np.dtype(np.float64): "F64",
}
_KINDS = {name: dtype for dtype, name in _DTYPES.items()}


def write_arrays(
    path: Path,
    format_name: str,
    arrays: Mapping[str, NDArray[Any]],
    header: Mapping[str, Any],
    provenance: Provenance,
) -> None:
    """Write arrays with a header of JSON values, atomically and without copying any whole.

    Args:
        path: The file.
        format_name: Such as ``wtn.dataset-index``.
        arrays: Of bool, uint8 to uint32, int32, int64 or float64.
        header: What the file says of itself.
        provenance: What it was made from.
    """
    by_width = sorted(arrays.items(), key=lambda item: -item[1].itemsize)  # so that all are aligned
    entries: dict[str, Any] = {"__metadata__": header_metadata(format_name, header, provenance)}
    start = 0
    for name, array in by_width:
        end = start + array.nbytes
        entries[name] = {
            "dtype": _DTYPES[array.dtype],
            "shape": array.shape,
            "data_offsets": [start, end],
        }
        start = end
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % _LENGTH.size)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        file.write(_LENGTH.pack(len(text)) + text)
        for _, array in by_width:
            for start in range(0, len(array), _ROWS_PER_WRITE):
                np.ascontiguousarray(array[start : start + _ROWS_PER_WRITE]).tofile(file)


def map_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file; what is not looked at is not read. Nothing is ever written back.

    Raises:
        ArtifactError: If it is not a complete safetensors file, or holds another kind of number.
    """
    with opened(path, "numpy"):
        pass  # the library has found the header to describe the whole file
    content = np.asarray(np.memmap(path, np.uint8, "c"))
    start = _LENGTH.size + _LENGTH.unpack(content[: _LENGTH.size].tobytes())[0]
    entries = json.loads(content[_LENGTH.size : start].tobytes())
    entries.pop("__metadata__", None)
    try:
        return {name: _view(content[start:], entry) for name, entry in entries.items()}
    except KeyError as error:
        raise ArtifactError(f"it holds numbers of the kind {error}", where=path) from error


def _view(content: NDArray[np.uint8], entry: Mapping[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    return content[start:end].view(_KINDS[entry["dtype"]]).reshape(entry["shape"])


def starts_as_array_file(path: Path) -> bool:
    """Return whether a file begins as a safetensors file does, which no text file can."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(_LENGTH.size + 1)
    if len(start) <= _LENGTH.size:
        return False
    (length,) = _LENGTH.unpack(start[: _LENGTH.size])
    return start[_LENGTH.size :] == b"{" and length < 1 << 40
