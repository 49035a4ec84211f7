"""Checkpoints in TensorFlow's first format (V1): tables whose values are the tensors themselves. They are only read."""

from __future__ import annotations

import glob
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.errors import NotFoundError
from rillet.saving import files, messages, table
from rillet.saving.bundle import Entry
from rillet.saving.slices import Part
from rillet.saving.tensors import array_of, shape_message, shape_of, sizes


def paths(prefix: str) -> list[str]:
    """The files of a checkpoint of this format, if it is one."""
    found = glob.glob(glob.escape(prefix)) + glob.glob(glob.escape(prefix) + "-?????-of-?????")
    return [path for path in sorted(found) if _is_table(path)]


def _is_table(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            file.seek(-8, 2)
            return file.read() == table.MAGIC
    except OSError:
        return False


class OldReader:
    """A checkpoint of the first format to read from; see bundle.Reader."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._metas: dict[str, Any] = {}
        self._slices: dict[str, list[Any]] = {}
        kind = messages.get("SavedTensorSlices")
        for path in paths(prefix):
            for key, value in table.entries(files.read(path), path):
                message = kind.FromString(value)
                if key == b"":
                    self._metas.update({tensor.name: tensor for tensor in message.meta.tensor})
                else:
                    self._slices.setdefault(message.data.name, []).append(message.data)
        self.names = sorted(self._metas)

    def __contains__(self, name: str) -> bool:
        return name in self._metas

    def entry(self, name: str) -> Entry:
        """NotFoundError where there is no tensor of that name."""
        meta = self._metas.get(name)
        if meta is None:
            raise NotFoundError(None, None, f"Key {name} not found in checkpoint {self.prefix}")
        return Entry(dtypes.as_dtype(meta.type), shape_of(meta.shape), 0, 0, 0, 0, ())

    def tensor(self, name: str) -> Any:
        """The array called `name`; strings as objects."""
        entry = self.entry(name)
        whole = np.empty(sizes(entry.shape), entry.dtype.numpy_dtype)
        for saved in self._slices.get(name, ()):
            part = Part.from_message(saved.slice, entry.shape)
            saved.data.dtype = entry.dtype.as_datatype_enum
            saved.data.tensor_shape.CopyFrom(shape_message(part.size))
            whole[part.region()] = array_of(saved.data)
        return whole
