"""Whole numbers in as few bytes as they need, as LevelDB, Snappy and protobuf write them."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """A number in groups of seven bits, lowest first."""
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def read_varint(data: bytes, place: int) -> tuple[int, int]:
    """The number at `place`, and the place behind it. IndexError where the data ends."""
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7
