"""Reading what Snappy has compressed: blocks of old tables."""

from __future__ import annotations

from rillet.errors import DataLossError
from rillet.saving.varint import read_varint


def uncompressed(data: bytes, path: str) -> bytes:
    """The original bytes. DataLossError, naming `path`, for data that is cut off or refers to what is not there."""
    try:
        size, place = read_varint(data, 0)
        result = bytearray()
        while place < len(data):
            place = _element(data, place, result)
    except IndexError:
        raise DataLossError(None, None, f"{path} is damaged: compressed data ends early") from None
    if len(result) != size:
        raise DataLossError(None, None, f"{path} is damaged: {len(result)} bytes uncompressed, {size} expected")
    return bytes(result)


def _element(data: bytes, place: int, result: bytearray) -> int:
    """Carries out one element, a literal or a copy of what came before; returns the place behind it."""
    tag = data[place]
    kind, rest = tag & 3, tag >> 2
    place += 1
    if kind == 0:
        if rest >= 60:
            extra = rest - 59
            rest = int.from_bytes(data[place : place + extra], "little")
            place += extra
        if place + rest >= len(data):  # the literal is cut off
            raise IndexError
        result += data[place : place + rest + 1]
        return place + rest + 1
    if kind == 1:
        length, offset = (rest & 7) + 4, rest >> 3 << 8 | data[place]
        place += 1
    else:
        width = 2 if kind == 2 else 4
        if place + width > len(data):
            raise IndexError
        length, offset = rest + 1, int.from_bytes(data[place : place + width], "little")
        place += width
    if not 0 < offset <= len(result):
        raise IndexError
    start = len(result) - offset
    for step in range(length):  # a copy may read what it writes
        result.append(result[start + step])
    return place
