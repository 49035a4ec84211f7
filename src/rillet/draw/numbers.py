"""Values in the small: how numbers, arrays and shapes are written in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MINUS = "−"
_MOST_INLINE = 4
_MOST_TEXT = 18


def number(value: Any) -> str:
    """A number in four digits, with a true minus sign."""
    if isinstance(value, (bool, np.bool_)):
        return str(bool(value))
    if isinstance(value, (bytes, str)):
        text = value.decode(errors="replace") if isinstance(value, bytes) else value
        return repr(text if len(text) <= _MOST_TEXT else text[: _MOST_TEXT - 1] + "…")
    if isinstance(value, (int, np.integer)):
        text = str(int(value))
    elif isinstance(value, (complex, np.complexfloating)):
        text = f"{complex(value):.4g}"
    else:
        text = f"{float(value):.4g}"
    if "e" in text:
        digits, _, power = text.partition("e")
        text = f"{digits}e{int(power)}"
    return text.replace("-", MINUS)


def shape_text(sizes: Sequence[int | None] | None) -> str:
    """ "3×?" for (3, None), "" for a scalar, "…" where the rank is unknown."""
    if sizes is None:
        return "…"
    return "×".join("?" if size is None else str(size) for size in sizes)


def short(value: Any) -> str:
    """An array in a few words: its elements when they are few, else its shape, mean and spread."""
    array = np.asarray(value)
    if array.ndim == 0:
        return number(array[()])
    if array.size <= _MOST_INLINE and array.ndim <= 2 and array.size:
        return _nested(array)
    label = f"[{shape_text(array.shape)}]"
    if array.size == 0 or array.dtype.kind not in "fiub":
        return label if array.dtype.kind != "V" else _summary(label, array.astype(np.float32))
    return _summary(label, array)


def _summary(label: str, array: Any) -> str:
    numbers = array.astype(np.float64)
    finite = numbers[np.isfinite(numbers)]
    strange = "" if finite.size == numbers.size else f", {numbers.size - finite.size} not finite"
    if not finite.size:
        return f"{label} not finite"
    if finite.min() == finite.max() and not strange:
        return f"{label} all {number(finite[0])}"
    return f"{label} {_three(finite.mean())} ± {_three(finite.std())}{strange}"


def _three(value: float) -> str:
    return number(float(f"{value:.2g}"))


def norm(value: Any) -> str:
    """ "‖0.52‖": the length of an array."""
    return f"‖{_three(float(np.sqrt(np.sum(np.square(np.asarray(value).astype(np.float64))))))}‖"


def derivative(value: Any) -> str:
    """A gradient in a few words: the number, its elements when they are few, else its shape and length."""
    array = np.asarray(value)
    if array.ndim == 0 or (array.size <= _MOST_INLINE and array.ndim <= 2):
        return short(array)
    return f"[{shape_text(array.shape)}] {norm(array)}"


def _nested(array: Any) -> str:
    if array.ndim == 0:
        return number(array[()])
    return "[" + ", ".join(_nested(part) for part in array) + "]"
