"""Files that are whole or not there: written beside their place, then moved to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any

from rillet.ops.files import file_errors


@contextlib.contextmanager
def replacing(path: str) -> Iterator[IO[bytes]]:
    """A file to write; it takes the place of `path` at the end of the block, all at once. If the block or the process
    fails, what was at `path` stays. Raises the tf.errors class that says what is wrong with the path."""
    partial = f"{path}.{os.getpid()}.partial"
    with file_errors(path):
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        file = open(partial, "wb")  # noqa: SIM115 - closed before it is moved
        try:
            with file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            move(partial, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.remove(partial)
            raise


def move(source: str, path: str) -> None:
    """Renames a file, so that the new name outlives a loss of power."""
    os.replace(source, path)
    _sync_folder(os.path.dirname(path) or ".")


def _sync_folder(folder: str) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write(path: str, data: Any) -> None:
    """Writes a whole file, or nothing."""
    with replacing(path) as file:
        file.write(data)


def read(path: str) -> bytes:
    """A whole file. NotFoundError and its like."""
    with file_errors(path), open(path, "rb") as file:
        return file.read()
