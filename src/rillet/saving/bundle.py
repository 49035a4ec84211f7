"""Tensors by name, in TensorFlow's checkpoint format (V2): `prefix.index`, a table that says of each tensor what it is and
where, and `prefix.data-00000-of-00001`, their bytes.

Writing over a checkpoint replaces two files. They change together: the new bytes first lie beside the old ones, in a file
named after the new index; the index is moved into place, then the bytes. A reader that finds a file named after the index
takes that one.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from rillet.core import dtypes
from rillet.core.crc32c import crc32c, masked_crc32c
from rillet.core.dtypes import DType
from rillet.core.shapes import TensorShape
from rillet.errors import InvalidArgumentError, NotFoundError, UnimplementedError
from rillet.ops.files import file_errors
from rillet.saving import files, messages, slices, table
from rillet.saving.tensors import as_bytes, little_endian, shape_message, shape_of, sizes
from rillet.saving.varint import read_varint, varint

_LONGEST_SHORT_STRING = 0xFFFFFFFF


def index_path(prefix: str) -> str:
    return prefix + ".index"


def data_path(prefix: str, shard: int = 0, shards: int = 1) -> str:
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


# ---- writing --------------------------------------------------------------------------------------------------------


def write(prefix: str, tensors: Mapping[str, Any]) -> None:
    """Writes a checkpoint, whole or not at all.

    tensors: arrays by name; strings as objects (bytes or str). A `slices.Part` is a piece of a larger tensor.
    """
    entries: list[tuple[bytes, bytes]] = [(b"", _header().SerializeToString())]
    data = data_path(prefix)
    partial = f"{data}.{os.getpid()}.partial"
    with file_errors(data):
        if os.path.dirname(data):
            os.makedirs(os.path.dirname(data), exist_ok=True)
        try:
            with open(partial, "wb") as file:
                entries += _write_tensors(file, tensors)
                file.flush()
                os.fsync(file.fileno())
            index = table.table(entries)
            pending = _pending(data, index)
            files.move(partial, pending)
            files.write(index_path(prefix), index)
            files.move(pending, data)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.remove(partial)
            raise
    _remove_abandoned(data)


def _pending(data: str, index: bytes) -> str:
    """Where the bytes lie that belong to an index, before the index is in force."""
    return f"{data}.{crc32c(index):08x}"


def _remove_abandoned(data: str) -> None:
    """What writers that were killed have left."""
    for path in glob.glob(glob.escape(data) + ".*"):
        if re.fullmatch(r"[0-9a-f]{8}", path.rpartition(".")[2]):
            with contextlib.suppress(OSError):
                os.remove(path)


def _header() -> Any:
    header = messages.get("BundleHeaderProto")(num_shards=1)
    header.version.producer = 1
    return header


def _write_tensors(file: IO[bytes], tensors: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    entries = []
    for key, array, parts in _keyed(tensors):
        dtype = dtypes.from_numpy(array.dtype)
        entry = messages.get("BundleEntryProto")(dtype=dtype.as_datatype_enum, shape=shape_message(array.shape))
        if parts is None:
            entry.offset = file.tell()
            entry.crc32c = _write_strings(file, array) if dtype is dtypes.string else _write_numbers(file, array)
            entry.size = file.tell() - entry.offset
        else:
            entry.shape.CopyFrom(shape_message(parts[0].full_shape))
            entry.slices.extend(part.message() for part in parts)
        entries.append((key, entry.SerializeToString()))
    return entries


def _keyed(tensors: Mapping[str, Any]) -> list[tuple[bytes, Any, list[slices.Part] | None]]:
    """(key, array, the parts that an entry without an array of its own lists), sorted by key."""
    rows: list[tuple[bytes, Any, list[slices.Part] | None]] = []
    for name, value in tensors.items():
        if isinstance(value, slices.Parts):
            rows.append((name.encode(), value.parts[0].array, value.parts))
            rows += [(part.key(name), np.asarray(part.array), None) for part in value.parts]
        else:
            rows.append((name.encode(), np.asarray(value), None))
    return sorted(rows, key=lambda row: row[0])


def _write_numbers(file: IO[bytes], array: Any) -> int:
    data = little_endian(array).reshape(-1).view(np.uint8)
    file.write(data)
    return masked_crc32c(data)


def _write_strings(file: IO[bytes], array: Any) -> int:
    """The lengths, their checksum, then the bytes. The checksum of all takes the lengths as fixed-size numbers."""
    strings = [as_bytes(text) for text in array.ravel().tolist()]
    fixed = b"".join(struct.pack("<I" if len(s) <= _LONGEST_SHORT_STRING else "<Q", len(s)) for s in strings)
    checksum = struct.pack("<I", masked_crc32c(fixed))
    contents = b"".join(strings)
    file.write(b"".join(varint(len(text)) for text in strings) + checksum + contents)
    return masked_crc32c(fixed + checksum + contents)


# ---- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What the index says of a tensor. `slices`: of the parts, where it was saved in parts."""

    dtype: DType
    shape: TensorShape
    shard: int
    offset: int
    size: int
    checksum: int
    slices: tuple[Any, ...]


class Reader:
    """A checkpoint to read from. NotFoundError where there is none, DataLossError for a damaged one."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._index_path = index_path(prefix)
        try:
            index = files.read(self._index_path)
        except NotFoundError:
            raise NotFoundError(
                None,
                None,
                f"Unsuccessful TensorSliceReader constructor: Failed to find any matching files for {prefix}",
            ) from None
        self._index_crc = f"{crc32c(index):08x}"
        rows = table.entries(index, self._index_path)
        self._shards = self._read_header(rows)
        self._rows = dict(rows)
        self.names = [key.decode() for key in self._rows if not key.startswith(b"\0")]

    def _read_header(self, rows: Iterator[tuple[bytes, bytes]]) -> int:
        key, value = next(rows, (None, b""))
        if key != b"":
            raise table.damaged(self._index_path, "it has no header")
        header = self._parsed("BundleHeaderProto", value)
        if header.endianness:
            raise UnimplementedError(None, None, f"{self._index_path}: a checkpoint of a big-endian machine")
        return int(header.num_shards)

    def _parsed(self, kind: str, value: bytes) -> Any:
        from google.protobuf.message import DecodeError

        try:
            return messages.get(kind).FromString(value)
        except DecodeError as error:
            raise table.damaged(self._index_path, f"no {kind}: {error}") from None

    def __contains__(self, name: str) -> bool:
        return name.encode() in self._rows and bool(name)

    def entry(self, name: str | bytes) -> Entry:
        """NotFoundError where there is no tensor of that name."""
        key = name.encode() if isinstance(name, str) else name
        if key not in self._rows or not key:
            raise NotFoundError(None, None, f"Key {name!s} not found in checkpoint {self.prefix}")
        message = self._parsed("BundleEntryProto", self._rows[key])
        return Entry(
            dtypes.as_dtype(message.dtype),
            shape_of(message.shape),
            message.shard_id,
            message.offset,
            message.size,
            message.crc32c,
            tuple(message.slices),
        )

    def tensor(self, name: str) -> Any:
        """The array called `name`; strings as objects. Raises as `entry`, and DataLossError for damaged bytes."""
        entry = self.entry(name)
        if not entry.slices:
            return self._array(name, entry)
        whole = np.zeros(sizes(entry.shape), entry.dtype.numpy_dtype)
        for message in entry.slices:
            part = slices.Part.from_message(message, entry.shape)
            whole[part.region()] = self._array(name, self.entry(part.key(name)))
        return whole

    def _array(self, name: str, entry: Entry) -> Any:
        path = self._data_path(entry.shard)
        with file_errors(path), open(path, "rb") as file:
            file.seek(entry.offset)
            data = file.read(entry.size)
        if len(data) != entry.size:
            raise table.damaged(path, f"it ends before the last byte of tensor {name}")
        shape = sizes(entry.shape)
        if entry.dtype is dtypes.string:
            return _strings(data, entry, path, name).reshape(shape)
        if masked_crc32c(data) != entry.checksum:
            raise table.damaged(path, f"the checksum of tensor {name} is wrong")
        if not entry.dtype.is_numpy_compatible:
            raise InvalidArgumentError(None, None, f"{path}: tensor {name} of type {entry.dtype.name} is no array")
        flat = np.frombuffer(data, entry.dtype.numpy_dtype.newbyteorder("<"))
        if flat.size != int(np.prod(shape, dtype=np.int64)):
            raise table.damaged(path, f"tensor {name} has {flat.size} elements, its shape is {entry.shape}")
        return flat.astype(entry.dtype.numpy_dtype, copy=True).reshape(shape)

    def _data_path(self, shard: int) -> str:
        path = data_path(self.prefix, shard, self._shards)
        pending = f"{path}.{self._index_crc}"
        return pending if os.path.exists(pending) else path


def _strings(data: bytes, entry: Entry, path: str, name: str) -> Any:
    count = int(np.prod(sizes(entry.shape), dtype=np.int64))
    lengths, place = [], 0
    try:
        for _ in range(count):
            length, place = read_varint(data, place)
            lengths.append(length)
    except IndexError:
        raise table.damaged(path, f"the lengths of tensor {name} are cut off") from None
    fixed = b"".join(struct.pack("<I" if size <= _LONGEST_SHORT_STRING else "<Q", size) for size in lengths)
    rest = data[place:]
    if masked_crc32c(fixed + rest) != entry.checksum or sum(lengths) + 4 != len(rest):
        raise table.damaged(path, f"the checksum of tensor {name} is wrong")
    result = np.empty(count, object)
    place = 4
    for index, length in enumerate(lengths):
        result[index] = rest[place : place + length]
        place += length
    return result


def remove(prefix: str) -> None:
    """Removes a checkpoint's files, as far as they are there."""
    for path in [index_path(prefix), *glob.glob(glob.escape(prefix) + ".data-?????-of-?????*")]:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
