"""Sorted string tables, the container of TensorFlow checkpoints.

A file is a run of blocks, an index block that points at them, and a footer. Within a block, keys
share prefixes with their predecessor. The layout is LevelDB's (table_format.md).
"""

import struct
from collections.abc import Iterator
from pathlib import Path

from pipelines.classifiers.crc32c import masked_crc32c
from pipelines.errors import ArtifactError

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_TRAILER_BYTES = 5  # compression type, masked CRC-32C
_COMPRESSIONS = {1: "snappy", 2: "zstd"}


def is_table(path: Path) -> bool:
    """Tell whether a file ends with the magic number of a table."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(size - 8, 0))
        return file.read() == _MAGIC.to_bytes(8, "little")


def read_table(path: Path) -> dict[bytes, bytes]:
    """Return all keys and values, in key order.

    Raises:
        ArtifactError: If the file is not a table, is truncated or corrupt, or is compressed.
    """
    data = path.read_bytes()
    if len(data) < _FOOTER_BYTES or data[-8:] != _MAGIC.to_bytes(8, "little"):
        raise ArtifactError(
            "not a checkpoint index (its footer is missing)",
            where=path,
            mend="The file is truncated or of another kind; copy it again.",
        )
    try:
        return dict(_entries(path, data))
    except (IndexError, struct.error) as error:
        raise ArtifactError(f"corrupt checkpoint index ({error})", where=path) from error


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the base-128 integer at ``position`` and the position after it."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _entries(path: Path, data: bytes) -> Iterator[tuple[bytes, bytes]]:
    footer = data[-_FOOTER_BYTES:]
    _, position = _handle(footer, 0)  # the metaindex, which checkpoints leave empty
    index, _ = _handle(footer, position)
    for _, handle in _block_entries(_block(path, data, index)):
        yield from _block_entries(_block(path, data, _handle(handle, 0)[0]))


def _handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = read_varint(data, position)
    size, position = read_varint(data, position)
    return (offset, size), position


def _block(path: Path, data: bytes, handle: tuple[int, int]) -> bytes:
    offset, size = handle
    block, trailer = data[offset : offset + size], data[offset + size :][:_TRAILER_BYTES]
    compression, crc = struct.unpack("<BI", trailer)
    if masked_crc32c(block + trailer[:1]) != crc:
        raise ArtifactError(f"the index is corrupt at byte {offset} (checksum)", where=path)
    if compression:
        name = _COMPRESSIONS.get(compression, f"type {compression}")
        raise ArtifactError(
            f"the index is compressed ({name}), which is not supported",
            where=path,
            mend="Save the checkpoint again with TensorFlow, whose Saver does not compress it.",
        )
    return block


def _block_entries(block: bytes) -> Iterator[tuple[bytes, bytes]]:
    (num_restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 * (num_restarts + 1)
    position, key = 0, b""
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        yield key, block[position : position + length]
        position += length
