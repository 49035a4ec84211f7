"""Parts of tensors: a partitioned variable is saved as parts of one tensor, each under a key of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rillet.core.shapes import TensorShape
from rillet.saving import messages
from rillet.saving.tensors import sizes


@dataclass(frozen=True)
class Part:
    """The part of a tensor of shape `full_shape` that begins at `start` and has size `size`."""

    array: Any
    full_shape: tuple[int, ...]
    start: tuple[int, ...]
    size: tuple[int, ...]

    @staticmethod
    def from_message(message: Any, full_shape: TensorShape) -> Part:
        """The place that a TensorSliceProto says. An extent without a length is the whole axis."""
        full = sizes(full_shape)
        start = tuple(extent.start for extent in message.extent)
        pairs = zip(message.extent, full, strict=True)
        return Part(None, full, start, tuple(e.length if e.HasField("length") else whole for e, whole in pairs))

    def message(self) -> Any:
        result = messages.get("TensorSliceProto")()
        for start, size, whole in zip(self.start, self.size, self.full_shape, strict=True):
            extent = result.extent.add()
            if size != whole:
                extent.start, extent.length = start, size
        return result

    def region(self) -> tuple[slice, ...]:
        return tuple(slice(start, start + size) for start, size in zip(self.start, self.size, strict=True))

    def key(self, name: str) -> bytes:
        """The key under which a checkpoint has this part of tensor `name`: its parts in an encoding that sorts well."""
        key = _number(0) + _text(name.encode()) + _number(len(self.start))
        for start, size, whole in zip(self.start, self.size, self.full_shape, strict=True):
            is_whole = size == whole
            key += _signed(0 if is_whole else start) + _signed(-1 if is_whole else size)
        return key


@dataclass(frozen=True)
class Parts:
    """All parts of one tensor."""

    parts: list[Part]


def _number(value: int) -> bytes:
    """How many bytes, then the bytes, highest first."""
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([len(data)]) + data


def _text(text: bytes) -> bytes:
    escapes = {0: b"\0\xff", 0xFF: b"\xff\0"}
    return b"".join(escapes.get(byte, bytes([byte])) for byte in text) + b"\0\1"


def _signed(value: int) -> bytes:
    """As many leading ones (zeros for a negative number) as bytes, then the number in two's complement."""
    size = 1
    while not -(1 << 7 * size - 1) <= value < 1 << 7 * size - 1:
        size += 1
    bits = 8 * size
    header = ((1 << size) - 1) << (bits - size)
    code = value & (1 << bits) - 1
    return (code ^ header).to_bytes(size, "big")
