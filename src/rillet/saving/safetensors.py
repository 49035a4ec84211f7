"""Arrays by name in a file of the safetensors format: a header of JSON, then the bytes."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.errors import DataLossError, InvalidArgumentError
from rillet.ops.files import as_path
from rillet.saving import files
from rillet.saving.tensors import little_endian

_NAMES = {
    dtypes.bool_: "BOOL", dtypes.uint8: "U8", dtypes.int8: "I8", dtypes.uint16: "U16", dtypes.int16: "I16",
    dtypes.uint32: "U32", dtypes.int32: "I32", dtypes.uint64: "U64", dtypes.int64: "I64", dtypes.float16: "F16",
    dtypes.bfloat16: "BF16", dtypes.float32: "F32", dtypes.float64: "F64", dtypes.float8_e4m3fn: "F8_E4M3",
    dtypes.float8_e5m2: "F8_E5M2", dtypes.complex64: "C64",
}  # fmt: skip
_TYPES = {name: dtype for dtype, name in _NAMES.items()}
_ALIGNMENT = 8


def save(path: Any, tensors: Mapping[str, Any], metadata: Mapping[str, str] | None = None) -> None:
    """Writes arrays by name, whole or not at all. TypeError for a dtype that the format does not have."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    arrays = {name: np.asarray(array) for name, array in tensors.items()}
    # the widest elements first: so all are aligned
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    place = 0
    for name in order:
        array = arrays[name]
        dtype = dtypes.from_numpy(array.dtype)
        if dtype not in _NAMES:
            raise TypeError(f"tensor {name!r} of type {dtype.name} has no place in a safetensors file")
        header[name] = {
            "dtype": _NAMES[dtype], "shape": list(array.shape), "data_offsets": [place, place + array.nbytes],
        }  # fmt: skip
        place += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    with files.replacing(as_path(path)) as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in order:
            file.write(little_endian(arrays[name]).reshape(-1).view(np.uint8))


def load(path: Any) -> dict[str, Any]:
    """The arrays in a file, by name. NotFoundError and its like; DataLossError for a file that is none or is cut off."""
    where = as_path(path)
    data = files.read(where)
    header, start = _header(data, where)
    header.pop("__metadata__", None)
    return {name: _array(data, start, name, entry, where) for name, entry in header.items()}


def metadata(path: Any) -> dict[str, str]:
    """The texts that were saved with the arrays."""
    where = as_path(path)
    return dict(_header(files.read(where), where)[0].get("__metadata__", {}))


def _header(data: bytes, path: str) -> tuple[dict[str, Any], int]:
    size = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else 0
    try:
        header = json.loads(data[8 : 8 + size])
        if 8 + size > len(data) or not isinstance(header, dict):
            raise ValueError
    except ValueError:
        raise DataLossError(None, None, f"{path} is no safetensors file, or its header is damaged") from None
    return header, 8 + size


def _array(data: bytes, start: int, name: str, entry: Mapping[str, Any], path: str) -> Any:
    dtype = _TYPES.get(entry["dtype"])
    if dtype is None:
        raise InvalidArgumentError(None, None, f"{path}: tensor {name!r} has type {entry['dtype']}, which is not known")
    first, last = entry["data_offsets"]
    count = int(np.prod(entry["shape"], dtype=np.int64))
    part = data[start + first : start + last]
    if len(part) != last - first or len(part) != count * dtype.size:
        raise DataLossError(
            None, None, f"{path} is damaged: tensor {name!r} does not have the bytes that its shape needs"
        )
    flat = np.frombuffer(part, dtype.numpy_dtype.newbyteorder("<"))
    return flat.astype(dtype.numpy_dtype).reshape(entry["shape"])
