"""Files of the HDF5 format, through h5py (the extra `h5`)."""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from rillet.ops.files import as_path
from rillet.saving import files

_LARGEST_ATTRIBUTE = 64512  # bytes; HDF5 keeps attributes in the header of an object


def library() -> Any:
    """h5py. ImportError, with what to install, where it is missing."""
    try:
        return importlib.import_module("h5py")
    except ImportError as error:
        raise ImportError(
            "files that end in .h5 or .keras need h5py, which is not installed: pip install 'rillet[h5]'"
        ) from error


@contextlib.contextmanager
def reading(source: Any) -> Iterator[Any]:
    """A file to read: a path, or an open binary file. ValueError where it is not of the format."""
    h5py = library()
    try:
        file = h5py.File(source, "r")
    except OSError as error:
        raise ValueError(f"{source} is not an HDF5 file, or it is damaged: {error}") from None
    with file:
        yield file


@contextlib.contextmanager
def writing(path: Any) -> Iterator[Any]:
    """A file to write, that takes the place of `path` at the end of the block; nothing does if the block fails."""
    buffer = io.BytesIO()
    with library().File(buffer, "w") as file:
        yield file
    files.write(as_path(path), buffer.getbuffer())


def set_names(group: Any, attribute: str, names: Sequence[str]) -> None:
    """Sets a list of texts as an attribute; in parts, attribute0, attribute1 ..., where it is too large for one."""
    encoded = [name.encode() for name in names]
    parts = 1
    while any(np.array(part).nbytes > _LARGEST_ATTRIBUTE for part in _split(encoded, parts)):
        parts += 1
    if parts == 1:
        group.attrs[attribute] = encoded
        return
    for number, part in enumerate(_split(encoded, parts)):
        group.attrs[f"{attribute}{number}"] = part


def _split(values: list[bytes], parts: int) -> list[list[bytes]]:
    size = -(-len(values) // parts)
    return [values[start : start + size] for start in range(0, len(values), size)] if values else []


def get_names(group: Any, attribute: str) -> list[str]:
    """What set_names set; empty where there is nothing."""
    if attribute in group.attrs:
        return [as_text(name) for name in group.attrs[attribute]]
    found: list[str] = []
    for number in itertools.count():
        if f"{attribute}{number}" not in group.attrs:
            break
        found.extend(as_text(name) for name in group.attrs[f"{attribute}{number}"])
    return found


def as_text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
