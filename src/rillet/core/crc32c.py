"""CRC-32C (Castagnoli), the checksum in TensorFlow's files, at the speed of NumPy.

A checksum is linear in the bits: that of a whole is the sum (exclusive or) of what each word gives when only zeros follow
it, and a following row of zeros is one linear map, kept as tables. So many words go forward side by side: the columns of
a matrix whose rows are added one by one, and whose columns are added up at the end.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

_POLYNOMIAL = 0x82F63B78  # bits in reversed order
_MASK_DELTA = 0xA282EAD8
_SHORT = 1 << 12
_MOST_COLUMNS = 1 << 15
_FEW = 8


def crc32c(data: Any) -> int:
    """The checksum of `data`: bytes, or anything with a buffer of bytes."""
    flat = np.frombuffer(data, np.uint8)
    if flat.size < _SHORT:
        return _bytewise(flat.tobytes(), 0xFFFFFFFF) ^ 0xFFFFFFFF
    columns = min(_MOST_COLUMNS, 1 << (int(flat.size).bit_length() - 6))
    whole = flat.size // (4 * columns) * (4 * columns)
    rows = flat[:whole].view("<u4").reshape(-1, columns)
    return _bytewise(flat[whole:].tobytes(), _rowwise(rows)) ^ 0xFFFFFFFF


def masked_crc32c(data: Any) -> int:
    """The checksum as files hold it: a checksum of data that contains checksums would be weak."""
    return _masked(crc32c(data))


def _masked(crc: int) -> int:
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def masked_crc32c_of_each(texts: Sequence[bytes]) -> list[int]:
    """The masked checksums of many short texts: side by side, those of about the same length together."""
    groups: dict[int, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(len(text).bit_length(), []).append(index)
    result = [0] * len(texts)
    for places in groups.values():
        group = [texts[place] for place in places]
        if len(group) < _FEW or len(group[0]) >= _SHORT or len(group[0]) < 4:
            states = [crc32c(text) for text in group]
        else:
            states = (_side_by_side(group) ^ np.uint32(0xFFFFFFFF)).tolist()
        for place, state in zip(places, states):
            result[place] = _masked(state)
    return result


def _side_by_side(texts: Sequence[bytes]) -> Any:
    """The state after each text (of 4 bytes or more). Zeros before a text change nothing while the state is zero; the
    initial state counts as a change of the text's first bytes."""
    words = (max(map(len, texts)) + 3) // 4
    padded = b"".join(text.rjust(4 * words, b"\0") for text in texts)
    data = np.frombuffer(padded, np.uint8).reshape(len(texts), 4 * words).copy()
    rows = np.arange(len(texts))
    starts = 4 * words - np.array([len(text) for text in texts])
    for place in range(4):
        data[rows, starts + place] ^= 0xFF
    columns = np.ascontiguousarray(data.view("<u4").T)
    state = np.zeros(len(texts), np.uint32)
    for column in columns:
        state = _forward(state ^ column, 4)
    return state


def _bytewise(data: bytes, state: int) -> int:
    pairs = _pair_table()
    even = len(data) & ~1
    for pair in memoryview(data)[:even].cast("H"):
        state = pairs[(state ^ pair) & 0xFFFF] ^ state >> 16
    return state if even == len(data) else _byte_table()[(state ^ data[-1]) & 0xFF] ^ state >> 8


@functools.cache
def _pair_table() -> list[int]:
    table: list[int] = _sums(_images(2)[:16]).tolist()
    return table


@functools.cache
def _byte_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


def _rowwise(rows: Any) -> int:
    """The state after all words of `rows`, from the initial state."""
    columns = rows.shape[1]
    low, high = _wide_tables(4 * columns)
    state = rows[0].copy()
    state[0] ^= 0xFFFFFFFF
    for row in rows[1:]:
        halves = state.view("<u2")
        state = low[halves[0::2]]
        state ^= high[halves[1::2]]
        state ^= row
    while state.size > 1:
        half = state.size // 2
        state = _forward(state[:half], 4 * half) ^ state[half:]
    return int(_forward(state, 4)[0])


def _forward(state: Any, zeros: int) -> Any:
    """Each state after so many bytes of zeros."""
    tables = _narrow_tables(zeros)
    result = tables[0][state & 0xFF]
    for place in (1, 2, 3):
        result ^= tables[place][state >> (8 * place) & 0xFF]
    return result


@functools.cache
def _images(zeros: int) -> tuple[int, ...]:
    """What becomes of each of the 32 bits after so many bytes of zeros."""
    if zeros == 1:
        table = _byte_table()
        return tuple(table[bit & 0xFF] ^ bit >> 8 for bit in (1 << place for place in range(32)))
    half = _images(zeros // 2)
    doubled = tuple(_image(half, value) for value in half)
    return tuple(_image(_images(1), value) for value in doubled) if zeros % 2 else doubled


def _image(images: tuple[int, ...], value: int) -> int:
    result = 0
    for place, image in enumerate(images):
        if value >> place & 1:
            result ^= image
    return result


def _sums(images: tuple[int, ...]) -> Any:
    """The image of every number that has these bits."""
    table = np.zeros(1, np.uint32)
    for image in images:
        table = np.concatenate([table, table ^ np.uint32(image)])
    return table


@functools.cache
def _narrow_tables(zeros: int) -> list[Any]:
    images = _images(zeros)
    return [_sums(images[place : place + 8]) for place in (0, 8, 16, 24)]


@functools.cache
def _wide_tables(zeros: int) -> list[Any]:
    images = _images(zeros)
    return [_sums(images[:16]), _sums(images[16:])]
