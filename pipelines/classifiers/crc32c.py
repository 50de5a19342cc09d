"""CRC-32C (Castagnoli) over large buffers, vectorised with numpy.

The checksum is linear over GF(2), so a buffer is cut into equal lanes that advance together, and
the lanes' remainders are then joined in a tree: ``crc(a + b) = crc(a) * x^(8 len(b)) + crc(b)``.

Shapes: n values, each a 32-bit remainder; a linear map of remainders is uint32 ``[32]``, the images
of the 32 unit vectors.
"""

import numpy as np
from numpy.typing import NDArray

UInts = NDArray[np.uint32]

_POLYNOMIAL = 0x82F63B78  # reflected
_ALL_ONES = 0xFFFFFFFF
_MASK_DELTA = 0xA282EAD8  # tensorflow/core/lib/hash/crc32c.h


def _byte_table() -> UInts:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1)
    return table


_TABLE = _byte_table()
_UNITS = np.uint32(1) << np.arange(32, dtype=np.uint32)


def crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C of ``data``."""
    buffer = np.frombuffer(data, np.uint8)
    lanes = 1 << (len(buffer).bit_length() // 2)
    length = -(-len(buffer) // lanes)
    padded = np.zeros(lanes * length, np.uint8)  # leading zeros leave a zero remainder as it is
    padded[len(padded) - len(buffer) :] = buffer
    remainder = _join(_advance(padded.reshape(lanes, length)), length)
    start = _apply(_zero_bytes(len(buffer)), np.array([_ALL_ONES], np.uint32))
    return int(start[0]) ^ remainder ^ _ALL_ONES


def masked_crc32c(data: bytes | bytearray | memoryview) -> int:
    """Return the CRC-32C as TensorFlow stores it: rotated right by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _ALL_ONES


def _advance(lanes: NDArray[np.uint8]) -> UInts:
    """Return the remainder of each row of ``lanes``, starting from zero."""
    remainders = np.zeros(len(lanes), np.uint32)
    for column in np.ascontiguousarray(lanes.T):
        remainders = _TABLE[(remainders ^ column) & 0xFF] ^ (remainders >> np.uint32(8))
    return remainders


def _join(remainders: UInts, length: int) -> int:
    """Return the remainder of the concatenation of lanes of ``length`` bytes each."""
    shift = _zero_bytes(length)
    while len(remainders) > 1:
        remainders = _apply(shift, remainders[0::2]) ^ remainders[1::2]
        shift = _apply(shift, shift)
    return int(remainders[0])


def _zero_bytes(count: int) -> UInts:
    """Return the linear map that appends ``count`` zero bytes."""
    result, step = _UNITS, _TABLE[_UNITS & 0xFF] ^ (_UNITS >> np.uint32(8))
    while count:
        if count & 1:
            result = _apply(step, result)
        step = _apply(step, step)
        count >>= 1
    return result


def _apply(linear_map: UInts, values: UInts) -> UInts:
    """Return the image ``[n]`` of ``values`` ``[n]``."""
    bits = (values[:, None] & _UNITS) != 0  # [n, 32]
    images: UInts = np.bitwise_xor.reduce(np.where(bits, linear_map, np.uint32(0)), axis=1)
    return images
