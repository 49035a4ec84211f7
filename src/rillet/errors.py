"""Error types, and the one formatter for error messages.

The classes and their codes are TensorFlow's, so programs that catch them keep working. Every message that rillet
raises about tensors is laid out by `describe`: what differs, where each operand was made, one thing to try.
"""

from __future__ import annotations

import linecache
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any

OK = 0
CANCELLED = 1
UNKNOWN = 2
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
ALREADY_EXISTS = 6
PERMISSION_DENIED = 7
RESOURCE_EXHAUSTED = 8
FAILED_PRECONDITION = 9
ABORTED = 10
OUT_OF_RANGE = 11
UNIMPLEMENTED = 12
INTERNAL = 13
UNAVAILABLE = 14
DATA_LOSS = 15
UNAUTHENTICATED = 16


class OpError(Exception):
    """An operation failed. `op` is the operation (None when it ran eagerly), `message` says why."""

    code = UNKNOWN

    def __init__(self, node_def: Any, op: Any, message: str, error_code: int | None = None) -> None:
        super().__init__(message)
        self._node_def = node_def
        self._op = op
        self._message = message
        self._error_code = self.code if error_code is None else error_code

    @property
    def message(self) -> str:
        return self._message

    @property
    def op(self) -> Any:
        return self._op

    @property
    def node_def(self) -> Any:
        return self._node_def

    @property
    def error_code(self) -> int:
        return self._error_code

    @property
    def experimental_payloads(self) -> dict[str, bytes]:
        return {}

    def __str__(self) -> str:
        return self._message

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (None, None, self._message)


class CancelledError(OpError):
    """The step was cancelled: its session was closed, or its coordinator asked for a stop."""

    code = CANCELLED


class UnknownError(OpError):
    code = UNKNOWN


class InvalidArgumentError(OpError):
    """An operation received an input it cannot work on."""

    code = INVALID_ARGUMENT


class DeadlineExceededError(OpError):
    code = DEADLINE_EXCEEDED


class NotFoundError(OpError):
    code = NOT_FOUND


class AlreadyExistsError(OpError):
    code = ALREADY_EXISTS


class PermissionDeniedError(OpError):
    code = PERMISSION_DENIED


class ResourceExhaustedError(OpError):
    code = RESOURCE_EXHAUSTED


class FailedPreconditionError(OpError):
    """The state is not ready for the operation: most often a variable that was never initialised."""

    code = FAILED_PRECONDITION


class AbortedError(OpError):
    code = ABORTED


class OutOfRangeError(OpError):
    """An iterator or a queue has nothing left."""

    code = OUT_OF_RANGE


class UnimplementedError(OpError):
    code = UNIMPLEMENTED


class InternalError(OpError):
    code = INTERNAL


class UnavailableError(OpError):
    code = UNAVAILABLE


class DataLossError(OpError):
    code = DATA_LOSS


class UnauthenticatedError(OpError):
    code = UNAUTHENTICATED


class InaccessibleTensorError(ValueError):
    """A symbolic tensor was used outside the function or branch that made it."""


class OperatorNotAllowedInGraphError(TypeError):
    """A symbolic tensor was used where Python needs its value now."""


class ShapeError(ValueError):
    """What static inference raises when an op cannot work on its inputs. dispatch turns it into the user's error:
    ValueError while a graph is built (`static_text`), InvalidArgumentError when the op runs (`runtime_text`).

    marks: {input index: axes} that disagree. hint: one thing to try.
    """

    def __init__(
        self,
        static_text: str,
        runtime_text: str | None = None,
        marks: dict[int, Sequence[int]] | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(static_text)
        self.static_text = static_text
        self.runtime_text = runtime_text or static_text
        self.marks = marks or {}
        self.hint = hint


_BY_CODE: dict[int, type[OpError]] = {
    kind.code: kind for kind in OpError.__subclasses__() if kind.__name__.endswith("Error")
}


def exception_type_from_error_code(error_code: int) -> type[OpError]:
    return _BY_CODE[error_code]


def error_code_from_exception_type(kind: type[OpError]) -> int:
    return kind.code


# ---- where the user is -----------------------------------------------------------------------------------------

PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True)
class Location:
    """A line of the user's program."""

    filename: str
    line: int
    function: str = "<module>"

    @property
    def text(self) -> str:
        return linecache.getline(self.filename, self.line).strip()

    def __str__(self) -> str:
        where = f"{_short_path(self.filename)}:{self.line}"
        return f"{where}: {self.text}" if self.text else where


def _short_path(filename: str) -> str:
    try:
        relative = os.path.relpath(filename)
    except ValueError:  # another drive
        return filename
    return filename if relative.startswith("..") else relative


def user_frame(frame: FrameType | None = None) -> FrameType | None:
    """The innermost frame that runs the user's code, not rillet's."""
    frame = frame or sys._getframe(1)
    current: FrameType | None = frame
    while current is not None and current.f_code.co_filename.startswith(PACKAGE):
        current = current.f_back
    return current


# A creation site is kept as (code, instruction) and turned into a line only when somebody asks: that costs a third.
Site = tuple[CodeType, int]


def user_site(frame: FrameType | None = None) -> Site | None:
    """The innermost site of the user's code, from `frame` on (None: from the caller's caller). Every tensor has one, so
    this is written for speed."""
    frame = frame or sys._getframe(1).f_back
    while frame is not None:
        code = frame.f_code
        is_ours = _IS_OURS.get(code.co_filename)
        if is_ours is None:
            is_ours = _IS_OURS[code.co_filename] = code.co_filename.startswith(PACKAGE)
        if not is_ours:
            return code, frame.f_lasti
        frame = frame.f_back
    return None


_IS_OURS: dict[str, bool] = {}  # by the name of a file: whether it belongs to rillet


def location_of(site: Site | None) -> Location | None:
    if site is None:
        return None
    code, instruction = site
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            return Location(code.co_filename, line, code.co_name)
    return Location(code.co_filename, code.co_firstlineno, code.co_name)


# ---- the formatter ----------------------------------------------------------------------------------------------


@dataclass
class Operand:
    """One side of a disagreement: its label, what it is, where it was made, and the axes to point at."""

    label: str
    dtype: str = ""
    shape: Sequence[int | None] | None = None
    location: Location | None = None
    marked_axes: Iterable[int] = ()


def format_shape(shape: Sequence[int | None] | None) -> str:
    """[2,?,3], as TensorFlow's kernels write shapes."""
    if shape is None:
        return "<unknown>"
    return "[" + ",".join("?" if size is None else str(size) for size in shape) + "]"


def _mark(prefix: int, shape: Sequence[int | None] | None, axes: Iterable[int]) -> str:
    if shape is None:
        return ""
    wanted = {axis % len(shape) for axis in axes if shape}
    cells = [
        ("^" if axis in wanted else " ") * len("?" if size is None else str(size)) for axis, size in enumerate(shape)
    ]
    line = " " * (prefix + 1) + " ".join(cells)
    return line.rstrip() if wanted else ""


def describe(
    headline: str, operands: Sequence[Operand] = (), location: Location | None = None, hint: str | None = None
) -> str:
    """A message in rillet's one format.

    headline: TensorFlow's own words for the failure (programs match on them).
    operands: set side by side, one a line, the disagreeing axes marked underneath.
    location: the user's line that asked for the operation.
    hint: one thing to try.
    """
    lines = [headline]
    width = max((len(operand.label) for operand in operands), default=0)
    dtype_width = max((len(operand.dtype) for operand in operands), default=0)
    for operand in operands:
        head = f"    {operand.label:<{width}}  {operand.dtype:<{dtype_width}} "
        made = f"   made at {operand.location}" if operand.location else ""
        lines.append(head + format_shape(operand.shape) + made)
        mark = _mark(len(head), operand.shape, operand.marked_axes)
        if mark:
            lines.append(mark)
    if location is not None:
        lines.append(f"    at {location}")
    if hint:
        lines.append(f"    Try: {hint}")
    return "\n".join(lines)
