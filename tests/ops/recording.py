"""TensorFlow's recorded results: one compressed file for each topic.

A file holds two byte strings: all arrays end to end (each distinct one once), and an index in JSON that says what each
row gave. In the index an array is `[dtype, shape, offset]`; strings are stored as JSON in the index itself.
"""

from __future__ import annotations

import base64
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.ops.inputs import dtype_name, numpy_dtype

Array = np.ndarray[Any, Any]
DIRECTORY = Path(__file__).resolve().parents[1] / "data" / "ops"


class Writer:
    """Collects arrays, and writes them with the index."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []
        self._offsets: dict[bytes, int] = {}
        self._size = 0

    def add(self, array: Array) -> list[Any]:
        """Store an array; what comes back stands for it in the index."""
        name = dtype_name(array.dtype)
        if name == "string":
            return [name, list(array.shape), [base64.b85encode(text).decode() for text in array.ravel()]]
        raw = np.ascontiguousarray(array).tobytes()
        if raw not in self._offsets:
            self._offsets[raw] = self._size
            self._chunks.append(raw)
            self._size += len(raw)
        return [name, list(array.shape), self._offsets[raw]]

    def write(self, topic: str, index: dict[str, Any]) -> Path:
        DIRECTORY.mkdir(parents=True, exist_ok=True)
        path = DIRECTORY / f"{topic}.npz"
        text = json.dumps(index, separators=(",", ":")).encode()
        np.savez_compressed(
            path, index=np.frombuffer(text, np.uint8), data=np.frombuffer(b"".join(self._chunks), np.uint8)
        )
        return path


class Recording:
    """The recorded results of one topic."""

    def __init__(self, topic: str) -> None:
        path = DIRECTORY / f"{topic}.npz"
        self.rows: dict[str, Any] = {}
        self._data = b""
        if path.exists():
            with np.load(path) as stored:
                self.rows = json.loads(stored["index"].tobytes())
                self._data = stored["data"].tobytes()

    def array(self, entry: list[Any]) -> Array:
        """The array that an entry of the index stands for."""
        name, shape, offset = entry
        if name == "string":
            texts = np.empty(len(offset), dtype=object)
            texts[:] = [base64.b85decode(text) for text in offset]
            return texts.reshape(shape)
        dtype = numpy_dtype(name)
        count = int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(self._data, dtype, count, offset).reshape(shape)

    def arrays(self, entries: list[Any]) -> list[Array]:
        return [self.array(entry) for entry in entries]


@functools.cache
def load(topic: str) -> Recording:
    return Recording(topic)
