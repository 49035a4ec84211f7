"""tf.compat: bytes and text, families of Python's number types, dates of compatibility."""

from __future__ import annotations

import datetime
import numbers
import os
from typing import Any

import numpy as np

from rillet.core.export import export, public
from rillet.core.shapes import Dimension, TensorShape

export((bytes, str), "compat.bytes_or_text_types")
export((numbers.Integral, np.integer), "compat.integral_types")
export((numbers.Real, np.integer, np.floating), "compat.real_types")
export((numbers.Complex, np.number), "compat.complex_types")

# TensorFlow 2.21's. An op that changed before this date may be used in its new form.
_TODAY = datetime.date(2026, 1, 1)


@public("compat.as_bytes")
def as_bytes(bytes_or_text: Any, encoding: str = "utf-8") -> bytes:
    """Bytes of text or bytes. TypeError for anything else."""
    if isinstance(bytes_or_text, str):
        return bytes_or_text.encode(encoding)
    if isinstance(bytes_or_text, (bytes, bytearray)):
        return bytes(bytes_or_text)
    raise TypeError(f"Expected binary or unicode string, got {bytes_or_text!r}")


@public("compat.as_text", "compat.as_str")
def as_text(bytes_or_text: Any, encoding: str = "utf-8") -> str:
    """Text of text or bytes. TypeError for anything else."""
    if isinstance(bytes_or_text, str):
        return bytes_or_text
    if isinstance(bytes_or_text, bytes):
        return bytes_or_text.decode(encoding)
    raise TypeError(f"Expected binary or unicode string, got {bytes_or_text!r}")


@public("compat.as_str_any")
def as_str_any(value: Any, encoding: str = "utf-8") -> str:
    """Text of anything: bytes are decoded, the rest is printed."""
    return value.decode(encoding) if isinstance(value, bytes) else str(value)


@public("compat.path_to_str")
def path_to_str(path: Any) -> Any:
    """A pathlib.Path as text; anything else as it is."""
    return os.fspath(path) if hasattr(path, "__fspath__") else path


@public("compat.forward_compatible")
def forward_compatible(year: int, month: int, day: int) -> bool:
    """Whether a change of that date is to be used."""
    return datetime.date(year, month, day) < _TODAY


@public("compat.dimension_value", v1=["dimension_value"])
def dimension_value(dimension: Any) -> int | None:
    """The number in an element of a shape, or None: also where elements are tf.Dimension."""
    return dimension.value if isinstance(dimension, Dimension) else dimension


@public("compat.dimension_at_index", v1=["dimension_at_index"])
def dimension_at_index(shape: TensorShape, index: int) -> Dimension:
    """A dimension of a shape as tf.Dimension, unknown where the rank is."""
    return Dimension(None) if shape.rank is None else Dimension(dimension_value(shape[index]))
