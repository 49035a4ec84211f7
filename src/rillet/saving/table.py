"""Tables: files of sorted keys with values, in the format of LevelDB. A checkpoint's index is one.

A file is a sequence of blocks, an index of their last keys, which is a block itself, and a footer that says where that
is. In a block a key is written as what differs from the one before.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from rillet.core.crc32c import masked_crc32c
from rillet.errors import DataLossError
from rillet.saving.snappy import uncompressed
from rillet.saving.varint import read_varint, varint

MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5  # kind of compression, checksum
_PLAIN, _SNAPPY = 0, 1
_BLOCK_SIZE = 1 << 18
_RESTART_INTERVAL = 16


# ---- writing --------------------------------------------------------------------------------------------------------


class _Block:
    def __init__(self, restart_interval: int) -> None:
        self.data = bytearray()
        self.last_key = b""
        self._restarts = [0]
        self._interval = restart_interval
        self._since_restart = 0

    def add(self, key: bytes, value: bytes) -> None:
        shared = 0
        if self._since_restart == self._interval:
            self._restarts.append(len(self.data))
            self._since_restart = 0
        else:
            shared = _common(self.last_key, key)
        self.data += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        self.last_key = key
        self._since_restart += 1

    def finished(self) -> bytes:
        count = len(self._restarts)
        return bytes(self.data) + struct.pack(f"<{count + 1}I", *self._restarts, count)


def _common(one: bytes, other: bytes) -> int:
    length = 0
    for first, second in zip(one, other):
        if first != second:
            break
        length += 1
    return length


def table(entries: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The file with these entries, which are sorted by key."""
    output = bytearray()
    index = _Block(1)
    block = _Block(_RESTART_INTERVAL)
    finished: tuple[bytes, bytes] | None = None  # the last key of a block, and where that is
    for key, value in entries:
        if finished is not None:
            index.add(_between(finished[0], key), finished[1])
            finished = None
        block.add(key, value)
        if len(block.data) >= _BLOCK_SIZE:
            finished = block.last_key, _append(output, block)
            block = _Block(_RESTART_INTERVAL)
    if block.data:
        finished = block.last_key, _append(output, block)
    metadata = _append(output, _Block(1))
    if finished is not None:
        index.add(_behind(finished[0]), finished[1])
    handles = metadata + _append(output, index)
    output += handles.ljust(_FOOTER - 8, b"\0") + MAGIC
    return bytes(output)


def _between(key: bytes, following: bytes) -> bytes:
    """A short key that is not before `key`, but before `following`."""
    place = _common(key, following)
    if place < min(len(key), len(following)) and key[place] + 1 < following[place]:
        return key[:place] + bytes([key[place] + 1])
    return key


def _behind(key: bytes) -> bytes:
    """A short key that is not before `key`."""
    for place, byte in enumerate(key):
        if byte != 0xFF:
            return key[:place] + bytes([byte + 1])
    return key


def _append(output: bytearray, block: _Block) -> bytes:
    """Adds a block to the file; returns its handle, which says where it is."""
    contents = block.finished() + bytes([_PLAIN])
    handle = varint(len(output)) + varint(len(contents) - 1)
    output += contents + struct.pack("<I", masked_crc32c(contents))
    return handle


# ---- reading --------------------------------------------------------------------------------------------------------


def entries(data: bytes, path: str) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values in a table file, in order. DataLossError, naming `path`, for what is none or is damaged."""
    if len(data) < _FOOTER or data[-8:] != MAGIC:
        raise damaged(path, "it is not a table (bad magic number)")
    try:
        footer = data[-_FOOTER:]
        _, place = _handle(footer, 0)
        index, _ = _handle(footer, place)
        for _, handle in _in_block(_contents(data, index, path), path):
            where, _ = _handle(handle, 0)
            yield from _in_block(_contents(data, where, path), path)
    except (IndexError, struct.error):
        raise damaged(path, "it ends in the middle of an entry") from None


def damaged(path: str, problem: str) -> DataLossError:
    """The error for a file that does not hold what was written."""
    return DataLossError(None, None, f"{path} is damaged: {problem}")


def _handle(data: bytes, place: int) -> tuple[tuple[int, int], int]:
    offset, place = read_varint(data, place)
    size, place = read_varint(data, place)
    return (offset, size), place


def _contents(data: bytes, handle: tuple[int, int], path: str) -> bytes:
    offset, size = handle
    block = data[offset : offset + size + _TRAILER]
    if len(block) < size + _TRAILER:
        raise damaged(path, f"it is too short for its block at {offset}")
    if struct.unpack("<I", block[size + 1 :])[0] != masked_crc32c(block[: size + 1]):
        raise damaged(path, f"the checksum of its block at {offset} is wrong")
    kind = block[size]
    if kind == _SNAPPY:
        return uncompressed(block[:size], path)
    if kind != _PLAIN:
        raise damaged(path, f"its block at {offset} has unknown compression {kind}")
    return block[:size]


def _in_block(block: bytes, path: str) -> Iterator[tuple[bytes, bytes]]:
    count = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 * (count + 1)
    if end < 0:
        raise damaged(path, "a block's table of restarts is longer than the block")
    place, key = 0, b""
    while place < end:
        shared, place = read_varint(block, place)
        rest, place = read_varint(block, place)
        size, place = read_varint(block, place)
        key = key[:shared] + block[place : place + rest]
        place += rest
        yield key, block[place : place + size]
        place += size
