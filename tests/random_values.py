"""Random expressions: a list of small integers, read as a program that makes tensors out of tensors.

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
Step = tuple[int, int, int, int]

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


def made(tensor: Any, is_exact: bool) -> Value:
    return Value(tensor, tuple(tensor.shape.as_list()), is_exact)


# ---- ops ------------------------------------------------------------------------------------------------------------
# Each takes the value, another one, and two numbers to choose by; None where it does not apply.

Op = Callable[[Value, Value, int, int], Any]


def unary(function: Callable[[Any], Any]) -> Op:
    return lambda x, y, m, n: function(x.tensor)


def binary(function: Callable[[Any, Any], Any]) -> Op:
    """Where the shapes don't go together, the second value's mean takes its place."""

    def apply(x: Value, y: Value, m: int, n: int) -> Any:
        return function(x.tensor, _beside(x, y))

    return apply


def _beside(x: Value, y: Value) -> Any:
    try:
        fits = np.prod(np.broadcast_shapes(x.shape, y.shape)) <= LARGEST
    except ValueError:
        fits = False
    if fits:
        return y.tensor
    return tf.reshape(y.tensor, [-1])[0] if y.is_exact and y.size else tf.constant(0.25, y.tensor.dtype)


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


def mean_of_products(x: Value, y: Value, m: int, n: int) -> Any:
    """A matrix product (of stacks of matrices), its inner axis brought together by force."""
    if x.rank < 2 or y.rank < 1 or not x.size or not y.size:
        return None
    inner = x.shape[-1]
    flat = tf.reshape(y.tensor, [-1])
    columns = y.size // inner
    if not columns or columns * x.size // inner > LARGEST:
        return None
    kept = columns * inner
    if m & 1:
        right = tf.transpose(tf.reshape(flat[:kept], [columns, inner]))
    else:
        right = tf.reshape(flat[:kept], [inner, columns])
    if x.rank > 2:
        right = tf.reshape(right, [1] * (x.rank - 2) + [inner, columns])
    return tf.matmul(x.tensor, right) / inner


def gram(x: Value, y: Value, m: int, n: int) -> Any:
    if x.rank < 2 or not x.size:
        return None
    return tf.matmul(x.tensor, x.tensor, transpose_a=bool(m & 1), transpose_b=not m & 1) / x.shape[-2 if m & 1 else -1]


def _factors(size: int, m: int, n: int) -> list[int]:
    """Some shape of that size."""
    shape: list[int] = []
    for divisor in (2, 3, 5, 7, 17)[m % 5 :]:
        if size % divisor == 0 and len(shape) < MOST_AXES - 1:
            shape.append(divisor)
            size //= divisor
    shape.insert(n % (len(shape) + 1), size)
    if n & 8 and len(shape) < MOST_AXES:
        shape.insert(n % len(shape), 1)
    return shape


def reshape(x: Value, y: Value, m: int, n: int) -> Any:
    shape = _factors(x.size, m, n) if x.size else list(x.shape)
    return tf.reshape(x.tensor, shape)


def transpose(x: Value, y: Value, m: int, n: int) -> Any:
    order = list(range(x.rank))
    np.random.RandomState(m * 16 + n).shuffle(order)
    return tf.transpose(x.tensor, order)


def expand(x: Value, y: Value, m: int, n: int) -> Any:
    return tf.expand_dims(x.tensor, m % (x.rank + 1)) if x.rank < MOST_AXES else tf.squeeze(x.tensor)


def broadcast(x: Value, y: Value, m: int, n: int) -> Any:
    extent = EXTENTS[m % len(EXTENTS)]
    shape = [extent if size == 1 and n >> axis & 1 else size for axis, size in enumerate(x.shape)]
    if x.rank < MOST_AXES:
        shape = [extent, *shape]
    return tf.broadcast_to(x.tensor, shape) if np.prod(shape) <= LARGEST else None


def tile(x: Value, y: Value, m: int, n: int) -> Any:
    times = [1 + (m >> axis & 1) for axis in range(x.rank)]
    return tf.tile(x.tensor, times) if x.rank and x.size * np.prod(times) <= LARGEST else None


def concatenate(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank:
        return None
    axis = m % x.rank
    other = y if y.rank == x.rank and _without(y.shape, axis) == _without(x.shape, axis) else x
    parts = [x.tensor, other.tensor, x.tensor][: 2 + (n & 1)]
    return tf.concat(parts[:: -1 if n & 2 else 1], axis) if 3 * (x.size + other.size) <= LARGEST else None


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def stack(x: Value, y: Value, m: int, n: int) -> Any:
    other = y.tensor if y.shape == x.shape else x.tensor
    return tf.stack([other, x.tensor], m % (x.rank + 1)) if x.rank < MOST_AXES and 2 * x.size <= LARGEST else None


def part(x: Value, y: Value, m: int, n: int) -> Any:
    """A strided slice, forwards or backwards."""
    if not x.rank:
        return None
    pieces: list[Any] = []
    for axis, size in enumerate(x.shape):
        choice = (m >> 2 * axis) % 4
        if choice == 0 or size == 1:
            pieces.append(slice(None))
        elif choice == 1:
            pieces.append(slice(n % size, None))
        elif choice == 2:
            pieces.append(slice(None, None, -1 if n & 1 else 2))
        else:
            pieces.append(slice(size // 3, size - size // 4, 1 + n % 2))
    return x.tensor[tuple(pieces)]


def pad(x: Value, y: Value, m: int, n: int) -> Any:
    amounts = [[m >> axis & 1, n >> axis & 1] for axis in range(x.rank)]
    if not x.rank or np.prod([low + size + high for size, (low, high) in zip(x.shape, amounts)]) > LARGEST:
        return None
    return tf.pad(x.tensor, amounts, constant_values=0.5 if m & 1 else 0)


def gather(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not x.shape[0]:
        return None
    return tf.gather(x.tensor, [m % x.shape[0], n % x.shape[0], 0][: 1 + n % 3], axis=0)


def unstack(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not 0 < x.shape[-1] <= 8:
        return None
    return tf.unstack(x.tensor, axis=-1)[m % x.shape[-1]]


def split(x: Value, y: Value, m: int, n: int) -> Any:
    axis = m % x.rank if x.rank else 0
    if not x.rank or x.shape[axis] % 2:
        return None
    return tf.split(x.tensor, 2, axis)[n & 1]


def select(x: Value, y: Value, m: int, n: int) -> Any:
    other = _beside(x, y)
    return tf.where(x.tensor > 0.1, x.tensor if m & 1 else other, other * 0.5)


def positions(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not x.size:
        return None
    found = (tf.argmax if m & 1 else tf.argmin)(x.tensor, n % x.rank)
    return tf.cast(found, x.tensor.dtype) / 64


def whole_numbers(x: Value, y: Value, m: int, n: int) -> Any:
    """Out to integers and back."""
    numbers = tf.cast(x.tensor * 16, (tf.int32, tf.int64, tf.int8, tf.int16)[m % 4])
    changed = (
        numbers * 3 - 5,
        numbers // 3 + numbers % 4,
        tf.maximum(numbers, 2),
        tf.where(numbers > 1, numbers, -numbers),
    )[n % 4]
    return tf.cast(changed, x.tensor.dtype) / 64


def half_way(x: Value, y: Value, m: int, n: int) -> Any:
    """Rounded to 16 bits. (Not differentiated: a slope that is off by a bit may round to another number.)"""
    return tf.stop_gradient(tf.cast(tf.cast(x.tensor, (tf.bfloat16, tf.float16)[m & 1]), x.tensor.dtype))


def logic(x: Value, y: Value, m: int, n: int) -> Any:
    low, high = x.tensor > -0.3, x.tensor < 0.4
    joined = (tf.logical_and, tf.logical_or, tf.math.logical_xor)[m % 3](low, high)
    if n & 1 and x.size:
        joined = tf.reduce_any(joined, keepdims=True) if n & 2 else tf.reduce_all(joined, axis=-1 if x.rank else None)
    return tf.cast(joined, x.tensor.dtype)


SMOOTH: list[Op] = [
    unary(tf.tanh),
    unary(tf.sin),
    unary(tf.sigmoid),
    unary(lambda x: tf.square(x) * 0.8),
    unary(lambda x: tf.exp(x - 1.0)),
    unary(lambda x: tf.math.log(tf.square(x) + 1.0)),
    unary(lambda x: tf.sqrt(tf.square(x) + 0.5) * 0.8),
    unary(lambda x: 1.0 - x * 0.5),
    binary(lambda x, y: (x + y) * 0.5),
    binary(lambda x, y: x * y),
    binary(lambda x, y: (x - y) * 0.5),
    binary(lambda x, y: x / (tf.square(y) + 1.0)),
    binary(lambda x, y: tf.math.squared_difference(x, y) * 0.25),
    reduction(tf.reduce_mean),
    reduction(lambda x, axis, keepdims: tf.reduce_sum(x * 0.125, axis=axis, keepdims=keepdims)),
    reduction(lambda x, axis, keepdims: tf.tanh(tf.reduce_logsumexp(x, axis=axis, keepdims=keepdims))),
    reduction(lambda x, axis, keepdims: tf.reduce_prod(tf.cos(x), axis=axis, keepdims=keepdims)),
    along(lambda x, axis: tf.nn.softmax(x, axis)),
    along(lambda x, axis: tf.nn.log_softmax(x, axis) * 0.25),
    along(lambda x, axis: tf.cumsum(x * 0.125, axis)),
    along(lambda x, axis: x - tf.reduce_mean(x, axis=axis, keepdims=True)),
    along(lambda x, axis: x / tf.sqrt(tf.reduce_mean(tf.square(x), axis=axis, keepdims=True) + 0.1)),
    unary(lambda x: tf.tanh(tf.nn.l2_loss(x))),
    mean_of_products,
    mean_of_products,
    gram,
]
# These move elements: what they give is exact where what they take is.
MOVING: list[Op] = [
    reshape, reshape, transpose, transpose, expand, broadcast, tile, concatenate, concatenate, stack, part, part, pad, pad,
    gather, unstack, split,
    unary(tf.identity),
    unary(tf.negative),
    unary(tf.stop_gradient),
    unary(tf.zeros_like),
    along(lambda x, axis: tf.reverse(x, [axis])),
]  # fmt: skip
# These decide something: they take exact values, and give such.
DECIDING: list[Op] = [
    unary(tf.nn.relu),
    unary(tf.abs),
    unary(tf.sign),
    unary(lambda x: tf.clip_by_value(x, -0.3, 0.4)),
    unary(lambda x: tf.floor(x * 4.0) * 0.25),
    binary(tf.maximum),
    binary(tf.minimum),
    reduction(tf.reduce_max),
    reduction(tf.reduce_min),
    select,
    select,
    positions,
    whole_numbers,
    half_way,
    logic,
]
OPS = [*SMOOTH, *MOVING, *DECIDING]


def build(program: Sequence[Step], inputs: Sequence[Any]) -> list[Value]:
    """All the values that the program makes of the inputs, these first."""
    values = [made(tensor, True) for tensor in inputs]
    for choice, left, right, numbers in program:
        op = OPS[choice % len(OPS)]
        x, y = values[-1 - left % len(values)], values[-1 - right % len(values)]
        if choice % len(OPS) >= len(SMOOTH) + len(MOVING):
            exact = [value for value in values if value.is_exact]
            x, y = exact[-1 - left % len(exact)], exact[-1 - right % len(exact)]
        result = op(x, y, numbers % 256, numbers // 256)
        if result is None:
            continue
        is_exact = choice % len(OPS) >= len(SMOOTH) and x.is_exact and y.is_exact
        values.append(made(result, is_exact))
    return values


def weighted(value: Value) -> Any:
    """A scalar to differentiate: every element counts differently."""
    weights = np.cos(np.arange(value.size, dtype=np.float64) + 1).reshape(value.shape)
    return tf.reduce_sum(value.tensor * tf.constant(weights, value.tensor.dtype))


def input_shapes(numbers: Sequence[int]) -> list[Shape]:
    """Shapes of up to three axes, that often have an extent in common."""
    extents = [EXTENTS[number % len(EXTENTS)] for number in numbers]
    first = tuple(extents[:2])
    second = ((extents[2], *first), first, first[1:], (extents[2], 1), ())[numbers[-1] % 5]
    return [first, second, (extents[1],)]


def input_arrays(shapes: Sequence[Shape], dtype: Any, seed: int) -> list[np.ndarray]:
    random = np.random.RandomState(seed)
    return [np.round(random.uniform(-1, 1, shape), 3).astype(dtype) for shape in shapes]
