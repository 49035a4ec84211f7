"""Values of random programs, and how an operation on them is described.

Engines round differently, so a value that decides something (which branch, which maximum, which integer) must be the same
in all of them: such ops are applied to *exact* values only, those that are inputs, or were only moved, compared or rounded.
Magnitudes stay around one, so that one absolute tolerance fits all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import rillet as tf

Shape = tuple[int, ...]

EXTENTS = (1, 2, 3, 4, 5, 7, 8, 16, 17, 33, 64, 100)
LARGEST, MOST_AXES = 10_000, 4


@dataclass(frozen=True)
class Value:
    """A tensor of known shape. is_exact: every engine computes it without rounding."""

    tensor: Any
    shape: Shape
    is_exact: bool

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    @property
    def dtype(self) -> Any:
        return self.tensor.dtype


def made(tensor: Any, is_exact: bool) -> Value:
    return Value(tensor, tuple(tensor.shape.as_list()), is_exact)


# ---- kinds of ops ---------------------------------------------------------------------------------------------------
# Each takes the value, another one, and two numbers to choose by; None where it does not apply.

Op = Callable[[Value, Value, int, int], Any]


def unary(function: Callable[[Any], Any]) -> Op:
    return lambda x, y, m, n: function(x.tensor)


def binary(function: Callable[[Any, Any], Any]) -> Op:
    """Where the shapes don't go together, an element of the second value takes its place."""
    return lambda x, y, m, n: function(x.tensor, beside(x, y))


def reduction(function: Callable[..., Any]) -> Op:
    def apply(x: Value, y: Value, m: int, n: int) -> Any:
        if not x.size:
            return None
        axes = [axis for axis in range(x.rank) if m >> axis & 1]
        return function(x.tensor, axis=axes if n & 2 else (axes or None), keepdims=bool(n & 1))

    return apply


def along(function: Callable[..., Any]) -> Op:
    """Something done along one axis."""
    return lambda x, y, m, n: function(x.tensor, m % x.rank) if x.rank and x.size else None


def rows(function: Callable[..., Any]) -> Op:
    """Something done to the rows of what has some, with the two numbers."""
    return lambda x, y, m, n: function(x, m, n) if x.rank and x.size else None


def beside(x: Value, y: Value) -> Any:
    """`y`, of the dtype of `x`, if the two can be broadcast; else an element of it."""
    try:
        fits = np.prod(np.broadcast_shapes(x.shape, y.shape)) <= LARGEST
    except ValueError:
        fits = False
    if fits:
        return alike(y, x)
    if y.is_exact and y.size:
        return tf.reshape(alike(y, x), [-1])[0]
    return tf.cast(tf.constant(0.25), x.dtype)


def alike(y: Value, x: Value) -> Any:
    """`y` as a tensor of the dtype of `x`."""
    return y.tensor if y.dtype == x.dtype else tf.cast(y.tensor, x.dtype)


def taken(x: Value, shape: Sequence[int]) -> Any:
    """A tensor of that shape, of elements of `x`: from the first one on, and around."""
    count = int(np.prod(shape))
    flat = tf.reshape(x.tensor, [-1])
    flat = flat[:count] if count <= x.size else tf.gather(flat, np.arange(count) % x.size)
    return tf.reshape(flat, shape)


def indices(x: Value, shape: Sequence[int], limit: int) -> Any:
    """Integers from 0 to limit - 1, of that shape, computed from the elements of an exact value."""
    numbers = taken(x, shape)
    if x.dtype.is_floating:
        numbers = tf.cast(numbers * 64, tf.int32)
    return tf.math.floormod(tf.cast(numbers, tf.int32), limit)


# ---- inputs ---------------------------------------------------------------------------------------------------------


def input_shapes(numbers: Sequence[int]) -> list[Shape]:
    """Shapes of up to three axes, that often have an extent in common, and are sometimes empty."""
    extents = [0 if number == 255 else EXTENTS[number % len(EXTENTS)] for number in numbers]
    first = tuple(extents[:2])
    second = ((extents[2], *first), first, first[1:], (extents[2], 1), ())[numbers[-1] % 5]
    return [first, second, (extents[1],)]


def input_arrays(shapes: Sequence[Shape], dtype: Any, seed: int) -> list[np.ndarray]:
    """Numbers between -1 and 1; integers that are small, or the dtype's largest; or truths."""
    random = np.random.RandomState(seed)
    kind = np.dtype(dtype).kind
    if kind == "b":
        return [random.uniform(size=shape) < 0.5 for shape in shapes]
    if kind in "iu":
        return [_integers(random, dtype, shape) for shape in shapes]
    return [np.round(random.uniform(-1, 1, shape), 3).astype(dtype) for shape in shapes]


def _integers(random: np.random.RandomState, dtype: Any, shape: Shape) -> np.ndarray:
    limits = np.iinfo(dtype)
    small = random.randint(max(-9, limits.min), 10, shape).astype(dtype)
    extreme = np.array([limits.min, limits.max, 1], dtype)[random.randint(0, 3, shape)]
    return np.asarray(np.where(random.uniform(size=shape) < 0.1, extreme, small))
