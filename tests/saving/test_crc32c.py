"""CRC-32C against its published values, and all ways of computing it against the plain one."""

from __future__ import annotations

import numpy as np
import pytest

from rillet.core import crc32c

POLYNOMIAL = 0x82F63B78


def plain(data: bytes) -> int:
    state = 0xFFFFFFFF
    for byte in data:
        state ^= byte
        for _ in range(8):
            state = state >> 1 ^ (POLYNOMIAL if state & 1 else 0)
    return state ^ 0xFFFFFFFF


def test_published_values() -> None:  # RFC 3720, B.4
    assert crc32c.crc32c(b"123456789") == 0xE3069283
    assert crc32c.crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c.crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c.crc32c(bytes(range(32))) == 0x46DD794E


@pytest.mark.parametrize("size", [0, 1, 2, 3, 7, 4095, 4096, 4097, 5001, 20_000])
def test_every_length(size: int) -> None:
    data = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    assert crc32c.crc32c(data) == crc32c.crc32c(data.tobytes()) == plain(data.tobytes())


def test_many_texts_at_once() -> None:
    random = np.random.default_rng(0)
    texts = [random.integers(0, 256, size, dtype=np.uint8).tobytes() for size in random.integers(0, 900, 300)]
    assert crc32c.masked_crc32c_of_each(texts) == [crc32c.masked_crc32c(text) for text in texts]
