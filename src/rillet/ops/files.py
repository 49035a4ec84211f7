"""Files as strings: reading, writing and finding them. A file is looked at each time its op runs."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from rillet import errors
from rillet.core.dispatch import apply_op
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, define
from rillet.core.shapes import TensorShape
from rillet.errors import ShapeError, format_shape

_KINDS: tuple[tuple[type[OSError], type[errors.OpError], str], ...] = (
    (FileNotFoundError, errors.NotFoundError, "No such file or directory"),
    (FileExistsError, errors.AlreadyExistsError, "File exists"),
    (IsADirectoryError, errors.FailedPreconditionError, "Is a directory"),
    (NotADirectoryError, errors.FailedPreconditionError, "Not a directory"),
    (PermissionError, errors.PermissionDeniedError, "Permission denied"),
)


@contextlib.contextmanager
def file_errors(path: str) -> Iterator[None]:
    """An OSError inside becomes the tf.errors class that says the same, naming `path`."""
    try:
        yield
    except OSError as error:
        for kind, raised, text in _KINDS:
            if isinstance(error, kind):
                raise raised(None, None, f"{path}; {text}") from None
        raise errors.UnknownError(None, None, f"{path}; {error.strerror or error}") from None


def as_path(path: Any) -> str:
    """A path as text, from text, bytes, or a pathlib.Path."""
    return os.fsdecode(path)


# ---- finding ----------------------------------------------------------------------------------------------------------


def matching_paths(pattern: str) -> list[str]:
    """The files and folders that `pattern` describes, sorted: * and ? stand for no slash, [abc] for one character."""
    folder, name = os.path.split(pattern)
    if not _has_wildcard(pattern):
        return [pattern] if os.path.lexists(pattern) else []
    folders = matching_paths(folder) if _has_wildcard(folder) else [folder or "."]
    if not _has_wildcard(name):
        return [path for path in (os.path.join(where, name) for where in folders) if os.path.lexists(path)]
    expression = _expression(name)
    return sorted(
        os.path.join(where, found)
        for where in folders
        if os.path.isdir(where)
        for found in os.listdir(where)
        if expression.fullmatch(found)
    )


def _has_wildcard(pattern: str) -> bool:
    return any(mark in pattern for mark in "*?[\\")


_PART = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|\\.|.", re.DOTALL)


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile("".join(map(_translated, _PART.findall(pattern))), re.DOTALL)


def _translated(part: str) -> str:
    if part.startswith("*"):
        return ".*"
    if part == "?":
        return "."
    if part.startswith("[") and len(part) > 1:
        negated = "^" if part[1] in "!^" else ""
        inner = part[2:-1] if negated else part[1:-1]
        return f"[{negated}{inner.translate(_ESCAPED_IN_SET)}]"
    return re.escape(part[1:] if part.startswith("\\") and len(part) > 1 else part)


_ESCAPED_IN_SET = str.maketrans({mark: "\\" + mark for mark in "\\[]^&~|"})


# ---- ops --------------------------------------------------------------------------------------------------------------


def _check_scalar(operation: Operation, index: int, what: str) -> None:
    shape = operation.inputs[index].shape
    if shape.rank not in (None, 0):
        raise ShapeError(
            f"Shape must be rank 0 but is rank {shape.rank}",
            f"{what} tensor must be scalar, but had shape: {format_shape(shape.dimensions)}",
        )


def _read_shape(operation: Operation) -> Any:
    _check_scalar(operation, 0, "Input filename")
    return TensorShape(())


def _read(filename: Any) -> Any:
    path = as_path(_scalar(filename, "Input filename"))
    with file_errors(path), open(path, "rb") as file:
        return file.read()


def _scalar(value: Any, what: str) -> Any:
    if np.ndim(value):
        raise ValueError(f"{what} tensor must be scalar, but had shape: {format_shape(np.shape(value))}")
    return value.item() if isinstance(value, np.ndarray) else value


READ = define(
    "ReadFile", "filename: string -> contents: string", reference=_read, shape=_read_shape, gradient=NO_GRADIENT
)


@public("io.read_file", v1=["read_file"])
def read_file(filename: Any, name: str | None = None) -> Any:
    """The contents of a file, a string of rank 0. Raises NotFoundError and its like when it runs."""
    return apply_op(READ, (filename,), {}, name)


def _write_shape(operation: Operation) -> Any:
    _check_scalar(operation, 0, "Input filename")
    _check_scalar(operation, 1, "Contents")
    return []


def _write(filename: Any, contents: Any) -> Any:
    path = as_path(_scalar(filename, "Input filename"))
    with file_errors(path):
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(path, "wb") as file:
            file.write(_scalar(contents, "Contents"))
    return ()


WRITE = define(
    "WriteFile", "filename: string, contents: string -> ",
    reference=_write, shape=_write_shape, gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip


@public("io.write_file", v1=["write_file"])
def write_file(filename: Any, contents: Any, name: str | None = None) -> Any:
    """Writes a string to a file, whose folder is made where it is missing. The operation (None eagerly)."""
    return apply_op(WRITE, (filename, contents), {}, name)


def _matching_shape(operation: Operation) -> Any:
    shape = operation.inputs[0].shape
    if shape.rank is not None and shape.rank > 1:
        raise ShapeError(
            f"Shape must be at most rank 1 but is rank {shape.rank}",
            f"Input patterns tensor must be scalar or vector, but had shape: {format_shape(shape.dimensions)}",
        )
    return TensorShape((None,))


def _matching(pattern: Any) -> Any:
    if np.ndim(pattern) > 1:
        shape = format_shape(np.shape(pattern))
        raise ValueError(f"Input patterns tensor must be scalar or vector, but had shape: {shape}")
    patterns = np.atleast_1d(np.asarray(pattern, object))
    found = sorted(path for text in patterns for path in matching_paths(as_path(text)))
    result = np.empty(len(found), object)
    result[:] = [os.fsencode(path) for path in found]
    return result


MATCHING = define(
    "MatchingFiles", "pattern: string -> filenames: string",
    reference=_matching, shape=_matching_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("io.matching_files", v1=["matching_files"])
def matching_files(pattern: Any, name: str | None = None) -> Any:
    """The names of the files that match one of the patterns (`*`, `?`, `[...]`), sorted: strings [n]."""
    return apply_op(MATCHING, (pattern,), {}, name)
