"""Variables of TensorFlow V2 checkpoints, read without TensorFlow.

A checkpoint (a tensor bundle) is ``PREFIX.index``, a sorted string table of ``BundleEntryProto``,
and its shards ``PREFIX.data-00000-of-0000N``, raw little-endian numbers
(tensorflow/core/protobuf/tensor_bundle.proto).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from pipelines.classifiers.crc32c import masked_crc32c
from pipelines.classifiers.sstable import is_table, read_table, read_varint
from pipelines.errors import ArtifactError

_DTYPES = {  # tensorflow/core/framework/types.proto
    1: torch.float32,
    2: torch.float64,
    3: torch.int32,
    4: torch.uint8,
    5: torch.int16,
    6: torch.int8,
    9: torch.int64,
    10: torch.bool,
    14: torch.bfloat16,
    17: torch.uint16,
    19: torch.float16,
    22: torch.uint32,
    23: torch.uint64,
}
_BUNDLE_FILE = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_OBJECT_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_MOVING_AVERAGE = re.compile(r"/([^/]+)/ExponentialMovingAverage$")
_OPTIMIZER_STATE = re.compile(
    r"/(RMSProp|Momentum|Adam|AdamW|Adagrad|Adadelta|Ftrl)(_\d+)?$"
    r"|/\.OPTIMIZER_SLOT/|^optimizer/|(^|/)(global_step|beta\d_power|save_counter)(_\d+)?$"
)


@dataclass(frozen=True)
class _Entry:
    """A ``BundleEntryProto``: where one variable lies."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    partitioned: bool


def checkpoint_prefix(path: Path) -> Path | None:
    """Return the prefix of the checkpoint at ``path``, or None if there is none.

    Args:
        path: A prefix, one of a checkpoint's files, a SavedModel or a folder with one checkpoint.
    """
    if path.is_dir():
        found = sorted(path.glob("*.index")) or sorted(path.glob("variables/*.index"))
        return found[0].with_suffix("") if len(found) == 1 else None
    prefix = path.with_name(_BUNDLE_FILE.sub("", path.name))
    return prefix if _index(prefix).is_file() else None


def checkpoint_files(prefix: Path) -> list[Path]:
    """Return the index and the shards of a checkpoint."""
    return [_index(prefix), *sorted(prefix.parent.glob(f"{prefix.name}.data-?????-of-?????"))]


def is_v1_checkpoint(path: Path) -> bool:
    """Tell whether ``path`` is a checkpoint of the single-file format before TensorFlow 0.12."""
    return path.is_file() and path.suffix != ".index" and is_table(path)


def read_checkpoint(prefix: Path) -> dict[str, Tensor]:
    """Return a checkpoint's variables as they are stored, without the optimizer's state.

    The moving average of ``scope/weights`` is named ``scope/ExponentialMovingAverage/weights``, so
    that the averages form layers of their own. Variables that are no numbers are left out.

    Args:
        prefix: The path without ``.index``.

    Raises:
        ArtifactError: If a file is missing, truncated or corrupt, or the checkpoint is big-endian
            or holds partitioned variables.
    """
    num_shards, entries = _read_index(_index(prefix))
    return {
        _MOVING_AVERAGE.sub(r"/ExponentialMovingAverage/\1", name): _read(
            prefix, num_shards, name, entry
        )
        for name, entry in entries.items()
        if entry.dtype in _DTYPES and not _OPTIMIZER_STATE.search(name)
    }


def _index(prefix: Path) -> Path:
    return prefix.with_name(f"{prefix.name}.index")


def _read_index(index: Path) -> tuple[int, dict[str, _Entry]]:
    """Return the number of shards and the entry of each variable."""
    table = read_table(index)
    try:
        num_shards = _read_header(index, table.pop(b"", b""))
        return num_shards, {
            key.decode().removesuffix(_OBJECT_SUFFIX): _parse_entry(value)
            for key, value in table.items()
            if not key.startswith(b"\0")  # a slice of a partitioned variable
        }
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise ArtifactError(f"corrupt checkpoint index ({error})", where=index) from error


def _read_header(index: Path, message: bytes) -> int:
    """Return the number of shards from a ``BundleHeaderProto``."""
    header = dict(_fields(message))
    if 1 not in header:
        raise ArtifactError("not a checkpoint index (it has no header)", where=index)
    if header.get(2):
        raise ArtifactError("a big-endian checkpoint is not supported", where=index)
    return _integer(header[1])


def _parse_entry(message: bytes) -> _Entry:
    fields = dict(_fields(message))
    dtype, shard, offset, size, crc = (_integer(fields.get(n, 0)) for n in (1, 3, 4, 5, 6))
    return _Entry(dtype, _parse_shape(fields.get(2, b"")), shard, offset, size, crc, 7 in fields)


def _parse_shape(message: int | bytes) -> tuple[int, ...]:
    """Return the sizes of a ``TensorShapeProto``."""
    dims = (dict(_fields(dim)) for number, dim in _fields(message) if number == 2)
    return tuple(_integer(dim.get(1, 0)) for dim in dims)


def _fields(message: int | bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the field numbers and values of a protocol buffer message."""
    if isinstance(message, int):
        raise IndexError("a number where a message was expected")
    position = 0
    while position < len(message):
        tag, position = read_varint(message, position)
        if tag & 7 == 0:
            value, position = read_varint(message, position)
            yield tag >> 3, value
            continue
        if tag & 7 == 2:
            length, position = read_varint(message, position)
            yield tag >> 3, message[position : position + length]
        else:
            length = {1: 8, 5: 4}[tag & 7]
            yield tag >> 3, int.from_bytes(message[position : position + length], "little")
        position += length


def _integer(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise IndexError("a message where a number was expected")
    return value


def _read(prefix: Path, num_shards: int, name: str, entry: _Entry) -> Tensor:
    if entry.partitioned:
        raise ArtifactError(
            f"variable {name!r} is partitioned, which is not supported",
            where=_index(prefix),
            mend="Save the checkpoint again without a partitioner.",
        )
    shard = prefix.with_name(f"{prefix.name}.data-{entry.shard:05d}-of-{num_shards:05d}")
    if not shard.is_file():
        raise ArtifactError(
            f"no such file, though the checkpoint has {num_shards} shards",
            where=shard,
            mend="Copy all files of the checkpoint into one folder.",
        )
    with shard.open("rb") as file:
        file.seek(entry.offset)
        data = bytearray(file.read(entry.size))
    dtype = _DTYPES[entry.dtype]
    if len(data) != entry.size or torch.Size(entry.shape).numel() * dtype.itemsize != entry.size:
        raise ArtifactError(f"variable {name!r} is truncated", where=shard)
    if masked_crc32c(data) != entry.crc:
        raise ArtifactError(f"variable {name!r} is corrupt (checksum)", where=shard)
    numbers = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)
    return numbers.reshape(entry.shape)
