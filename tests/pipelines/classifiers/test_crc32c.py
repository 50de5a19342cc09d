"""Tests for pipelines.classifiers.crc32c."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.classifiers.crc32c import crc32c, masked_crc32c


@pytest.mark.parametrize(
    ("data", "crc"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),  # this and the next: RFC 3720, section B.4
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_check_values(data: bytes, crc: int) -> None:
    """The checksum is CRC-32C, not another polynomial or bit order."""
    assert crc32c(data) == crc


@given(st.binary(max_size=300))
def test_lanes_agree_with_one_bit_at_a_time(data: bytes) -> None:
    """Cutting a buffer of any length into lanes changes nothing."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    assert crc32c(data) == crc ^ 0xFFFFFFFF


def test_mask_rotates_and_adds() -> None:
    """The stored form is rotated by 15 bits and offset, as in TensorFlow's crc32c.h."""
    crc = 0xE3069283
    rotated = (crc >> 15) | (crc << 17) & 0xFFFFFFFF
    assert masked_crc32c(b"123456789") == (rotated + 0xA282EAD8) % 2**32
