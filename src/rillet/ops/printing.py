"""Ops that tell the user something: Assert, Print, PrintV2."""

from __future__ import annotations

import logging
import sys
from typing import Any

import numpy as np

from rillet.core.opdef import NO_GRADIENT, define
from rillet.errors import InvalidArgumentError
from rillet.ops.families import same_shape
from rillet.ops.strings import summary_text

_LOGGER = logging.getLogger("rillet")


def summarized(value: Any, limit: int) -> str:
    """A tensor as Assert and TensorFlow 1's Print show it: its first `limit` elements (all where it is negative)."""
    array = np.asarray(value)
    limit = array.size if limit < 0 else limit
    parts: list[str] = []
    if array.ndim == 0:
        parts.append(_text(array[()]) if limit else "")
    else:
        _add_axis(array, 0, [limit], parts)
    return "[" + "".join(parts) + ("..." if array.size > limit else "") + "]"


def _add_axis(array: Any, depth: int, left: list[int], parts: list[str]) -> None:
    """The elements of `array` as far as `left[0]` of them may still be shown."""
    for place, part in enumerate(array):
        if left[0] <= 0:
            if array.ndim == 1 and depth:
                parts.append("...")
            return
        if array.ndim == 1:
            parts.append((" " if place else "") + _text(part))
            left[0] -= 1
        else:
            parts.append("[")
            _add_axis(part, depth + 1, left, parts)
            parts.append("]")


def _text(element: Any) -> str:
    return element.decode(errors="backslashreplace") if isinstance(element, bytes) else summary_text(element, -1)


# ---- Assert ---------------------------------------------------------------------------------------------------------


def _assert(condition: Any, *data: Any, summarize: int) -> tuple[()]:
    if not np.all(condition):
        shown = " ".join(summarized(value, summarize) for value in data)
        raise InvalidArgumentError(None, None, f"assertion failed: {shown}")
    return ()


ASSERT = define(
    "Assert", "condition: bool, data: T... ->", "T: list(type), summarize: int = 3",
    reference=_assert, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip

# ---- Print ----------------------------------------------------------------------------------------------------------


class _Count:
    """How often a node has printed."""

    printed = 0


def _print(value: Any, *data: Any, message: str, first_n: int, summarize: int, context: Any, node: Any) -> Any:
    count: _Count = context.node_state(node, _Count)
    if first_n < 0 or count.printed < first_n:
        count.printed += 1
        sys.stderr.write(message + "".join(summarized(part, summarize) for part in data) + "\n")
    return value


PRINT = define(
    "Print", "input: T, data: U... -> output: T",
    "T: type, U: list(type), message: string = '', first_n: int = -1, summarize: int = 3",
    reference=_print, shape=same_shape, is_stateful=True,
    gradient=lambda op, dy: [dy, *[None] * (len(op.inputs) - 1)],
)  # fmt: skip


def _print_text(text: Any, *, output_stream: str, end: str) -> tuple[()]:
    raw: Any = np.asarray(text, object)[()]
    line = raw.decode(errors="backslashreplace") + end
    if output_stream.startswith("file://"):
        with open(output_stream.removeprefix("file://"), "a", encoding="utf-8") as file:
            file.write(line)
    elif output_stream.startswith("log("):
        _LOGGER.log(getattr(logging, output_stream[4:-1].upper()), line.rstrip("\n"))
    else:
        stream = sys.stdout if output_stream == "stdout" else sys.stderr
        stream.write(line)
        stream.flush()
    return ()


PRINT_V2 = define(
    "PrintV2", "input: string ->", "output_stream: string = 'stderr', end: string = '\n'",
    reference=_print_text, shape=lambda op: [], gradient=NO_GRADIENT, is_stateful=True,
)  # fmt: skip
