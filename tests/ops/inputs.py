"""Inputs of table rows: what is drawn, in which shape, for which dtype.

An `Input` is drawn from a seed and nothing else, so that the recorder and the tests see identical numbers.
Values are drawn in double precision and rounded to the dtype wanted, so all dtypes of a row see the same data.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

Shape = tuple[int, ...]
Draw = Callable[[np.random.RandomState, Shape, str], Any]

HALVES = ("float16", "bfloat16")
FLOATS = ("float32", "float64", *HALVES)
SIGNED = ("int32", "int64", "int8", "int16")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
COMPLEX = ("complex64", "complex128")
REALS = FLOATS + INTEGERS
NUMBERS = FLOATS + INTEGERS + COMPLEX
EVERYTHING = (*NUMBERS, "bool", "string")
SINGLE = ("float32", "float64")

_EXTENDED = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in ("bfloat16", "float8_e5m2", "float8_e4m3fn", "float8_e4m3b11fnuz", "int4", "uint4")
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of TensorFlow's dtype `name`; strings are arrays of objects (bytes)."""
    if name == "string":
        return np.dtype(object)
    return _EXTENDED[name] if name in _EXTENDED else np.dtype(name)


def dtype_name(dtype: np.dtype[Any]) -> str:
    """TensorFlow's name of a NumPy dtype."""
    return "string" if dtype.kind in "OSU" else dtype.name


def category(dtype: str) -> str:
    """One of float, integer, unsigned, complex, bool, string."""
    for prefix, name in (("int", "integer"), ("uint", "unsigned"), ("complex", "complex"), ("bool", "bool")):
        if dtype.startswith(prefix):
            return name
    return "string" if dtype == "string" else "float"


@dataclass(frozen=True)
class Input:
    """One argument of a row: how it is drawn, its shape, and its dtype where that is not the row's."""

    draw: Draw
    shape: Shape
    dtype: str | None = None

    def make(self, seed: str, row_dtype: str) -> np.ndarray[Any, Any]:
        """The array drawn from `seed`, as `self.dtype` or else `row_dtype`."""
        dtype = self.dtype or row_dtype
        random = np.random.RandomState(zlib.crc32(seed.encode()))
        drawn = np.asarray(self.draw(random, self.shape, category(dtype)))
        return drawn.astype(numpy_dtype(dtype)).reshape(self.shape)

    def reshaped(self, shape: Shape) -> Input:
        return replace(self, shape=tuple(shape))


def _integers(random: np.random.RandomState, low: int, high: int, shape: Shape) -> Any:
    """Integers of the closed range [low, high]."""
    return random.randint(low, high + 1, size=shape, dtype=np.int64)


def _texts(random: np.random.RandomState, shape: Shape) -> np.ndarray[Any, Any]:
    words = [b"tensor", b"", b"Flow", b"a b", b"42", b"gr\xc3\xbcn"]
    chosen = np.empty(shape, dtype=object)
    for position in np.ndindex(*shape):
        chosen[position] = words[random.randint(len(words))]
    return chosen


def _ranged(low: float, high: float, whole: tuple[int, int]) -> Draw:
    """Uniform in [low, high] for floating and complex dtypes, integers of the closed range `whole` for the others."""

    def draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
        if kind == "float":
            return random.uniform(low, high, size=shape)
        if kind == "complex":
            return random.uniform(low, high, size=shape) + 1j * random.uniform(-2, 2, size=shape)
        if kind == "bool":
            return _integers(random, 0, 1, shape)
        if kind == "string":
            return _texts(random, shape)
        return _integers(random, max(whole[0], 0) if kind == "unsigned" else whole[0], whole[1], shape)

    return draw


def _nonzero_draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
    sign = 1 if kind in ("unsigned", "bool") else 2 * _integers(random, 0, 1, shape) - 1
    if kind in ("integer", "unsigned", "bool"):
        return sign * _integers(random, 1, 9, shape)
    size = sign * random.uniform(0.3, 2.5, size=shape)
    return size + 1j * random.uniform(-2, 2, size=shape) if kind == "complex" else size


def _distinct_draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
    count = int(np.prod(shape, dtype=np.int64))
    order = random.permutation(count).reshape(shape)
    if kind == "unsigned":
        return order
    return order - count // 2 if kind == "integer" else (order - count / 2) * 0.17 + 0.055


def _fraction_draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
    whole = _integers(random, 0 if kind == "unsigned" else -4, 4, shape)
    if kind in ("integer", "unsigned"):
        return whole
    parts = np.array([0.15, 0.3, 0.7, 0.85])
    real = whole + parts[_integers(random, 0, 3, shape)]
    return real + 1j * (whole + parts[_integers(random, 0, 3, shape)]) if kind == "complex" else real


def _maker(draw: Draw) -> Callable[..., Input]:
    def make(*shape: int, dtype: str | None = None) -> Input:
        return Input(draw, shape, dtype)

    return make


anything = _maker(_ranged(-2.0, 2.0, (-9, 9)))
small = _maker(_ranged(-2.0, 2.0, (-3, 3)))
positive = _maker(_ranged(0.3, 3.0, (1, 9)))
unit = _maker(_ranged(0.1, 0.9, (0, 1)))
symmetric = _maker(_ranged(-0.9, 0.9, (-1, 1)))
above_one = _maker(_ranged(1.1, 3.0, (1, 9)))
nonzero = _maker(_nonzero_draw)
distinct = _maker(_distinct_draw)
fraction = _maker(_fraction_draw)
boolean = _maker(_ranged(0.0, 1.0, (0, 1)))


def flags(*shape: int) -> Input:
    """Booleans, whatever the row's dtype."""
    return boolean(*shape, dtype="bool")


def between(low: float, high: float, *shape: int, dtype: str | None = None) -> Input:
    """Uniform in [low, high]; integers of that closed range for integer dtypes."""
    return Input(_ranged(low, high, (int(np.ceil(low)), int(np.floor(high)))), shape, dtype)


def index(size: int, *shape: int, dtype: str = "int32") -> Input:
    """Indices into an axis of `size` entries."""
    return Input(lambda random, shape, kind: _integers(random, 0, size - 1, shape), shape, dtype)


def permutation(size: int, dtype: str = "int32") -> Input:
    """A permutation of the numbers below `size`."""
    return Input(lambda random, shape, kind: random.permutation(size), (size,), dtype)


def values(data: Any, dtype: str | None = None) -> Input:
    """Exactly `data`."""
    fixed = np.asarray(data, dtype=object) if dtype == "string" else np.asarray(data)
    return Input(
        lambda random, shape, kind: np.resize(fixed, shape) if fixed.shape != shape else fixed, fixed.shape, dtype
    )


def texts(data: Sequence[Any] | str | bytes) -> Input:
    """Exactly these strings, as bytes in UTF-8."""

    def encode(item: Any) -> Any:
        if isinstance(item, str):
            return item.encode()
        return item if isinstance(item, bytes) else [encode(part) for part in item]

    encoded = encode(data)
    if isinstance(encoded, bytes):
        array = np.empty((), dtype=object)
        array[()] = encoded
        return values(array, "string")
    return values(encoded, "string")


def positive_definite(size: int, *batch: int) -> Input:
    """Symmetric (Hermitian) matrices with eigenvalues well above zero."""

    def draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
        root = random.uniform(-1, 1, size=shape)
        if kind == "complex":
            root = root + 1j * random.uniform(-1, 1, size=shape)
        return root @ np.conj(np.swapaxes(root, -1, -2)) + shape[-1] * 0.6 * np.eye(shape[-1])

    return Input(draw, (*batch, size, size))


def well_conditioned(size: int, *batch: int) -> Input:
    """Square matrices far from singular."""

    def draw(random: np.random.RandomState, shape: Shape, kind: str) -> Any:
        matrix = random.uniform(-1, 1, size=shape)
        if kind == "complex":
            matrix = matrix + 1j * random.uniform(-1, 1, size=shape)
        return matrix + shape[-1] * 0.8 * np.eye(shape[-1])

    return Input(draw, (*batch, size, size))
