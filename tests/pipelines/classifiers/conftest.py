"""A writer of TensorFlow V2 checkpoints that shares no code with the reader."""

import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

_DTYPES = {"float32": 1, "float64": 2, "int32": 3, "int64": 9, "float16": 19}
_RESTART_INTERVAL = 4

WriteBundle = Callable[..., Path]


@pytest.fixture
def write_bundle(tmp_path: Path) -> WriteBundle:
    """Return a function that writes variables as a checkpoint and returns its prefix."""

    def write(
        variables: Mapping[str, np.ndarray],
        *,
        num_shards: int = 1,
        block_entries: int = 8,
        compression: int = 0,
        endianness: int = 0,
        bfloat16: tuple[str, ...] = (),
        partitioned: tuple[str, ...] = (),
    ) -> Path:
        prefix = tmp_path / "model.ckpt"
        shards = [bytearray() for _ in range(num_shards)]
        entries = {b"": _message((1, num_shards), (2, endianness), (3, _message((1, 1))))}
        for number, name in enumerate(sorted(variables)):
            array = variables[name]
            shard = number % num_shards
            data = array.tobytes()
            dtype = 14 if name in bfloat16 else _DTYPES[array.dtype.name]
            shape = b"".join(_message((2, _message((1, size)))) for size in array.shape)
            fields = [(1, dtype), (2, shape), (3, shard), (4, len(shards[shard])), (5, len(data))]
            tail = _varint(6 << 3 | 5) + struct.pack("<I", masked_crc(data))
            slices = _message((7, b"")) if name in partitioned else b""
            entries[name.encode()] = _message(*fields) + tail + slices
            shards[shard] += data
        for shard, data in enumerate(shards):
            Path(f"{prefix}.data-{shard:05d}-of-{num_shards:05d}").write_bytes(data)
        Path(f"{prefix}.index").write_bytes(_table(entries, block_entries, compression))
        return prefix

    return write


def masked_crc(data: bytes) -> int:
    """Return TensorFlow's masked CRC-32C, one bit at a time."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _message(*fields: tuple[int, int | bytes]) -> bytes:
    """Serialise fields as protobuf does, leaving out zeros."""
    parts = []
    for number, value in fields:
        if isinstance(value, bytes):
            parts.append(_varint(number << 3 | 2) + _varint(len(value)) + value)
        elif value:
            parts.append(_varint(number << 3) + _varint(value))
    return b"".join(parts)


def _table(entries: Mapping[bytes, bytes], block_entries: int, compression: int) -> bytes:
    out = bytearray()

    def add(block: bytes) -> bytes:
        handle = _varint(len(out)) + _varint(len(block))
        kind = bytes([compression])
        out.extend(block + kind + struct.pack("<I", masked_crc(block + kind)))
        return handle

    items = sorted(entries.items())
    chunks = [items[i : i + block_entries] for i in range(0, len(items), block_entries)]
    index = [(chunk[-1][0] + b"\xff", add(_block(chunk))) for chunk in chunks]
    footer = add(_block([])) + add(_block(index))
    return bytes(out) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def _block(items: list[tuple[bytes, bytes]]) -> bytes:
    out, restarts, last = bytearray(), [0], b""
    for number, (key, value) in enumerate(items):
        shared = 0
        if number % _RESTART_INTERVAL:
            while shared < min(len(key), len(last)) and key[shared] == last[shared]:
                shared += 1
        elif number:
            restarts.append(len(out))
        out += _varint(shared) + _varint(len(key) - shared) + _varint(len(value))
        out += key[shared:] + value
        last = key
    return bytes(out) + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))
