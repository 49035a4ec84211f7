"""Ops that decide something, by values that are exact; and the ops of programs on integers, where all is."""

from __future__ import annotations

from typing import Any

import numpy as np

import rillet as tf
from tests.random_values import Op, Value, beside, binary, indices, reduction, rows, taken, unary

# ---- exact values of exact values -----------------------------------------------------------------------------------


def select(x: Value, y: Value, m: int, n: int) -> Any:
    other = beside(x, y)
    return tf.where(x.tensor > 0.1, x.tensor if m & 1 else other, other * 0.5)


def positions(x: Value, m: int, n: int) -> Any:
    found = (tf.argmax if m & 1 else tf.argmin)(x.tensor, n % x.rank)
    return tf.cast(found, x.dtype) / 64


def whole_numbers(x: Value, y: Value, m: int, n: int) -> Any:
    """Out to integers and back."""
    numbers = tf.cast(x.tensor * 16, (tf.int32, tf.int64, tf.int8, tf.int16)[m % 4])
    changed = (
        numbers * 3 - 5,
        numbers // 3 + numbers % 4,
        tf.maximum(numbers, 2),
        tf.where(numbers > 1, numbers, -numbers),
    )[n % 4]
    return tf.cast(changed, x.dtype) / 64


def half_way(x: Value, y: Value, m: int, n: int) -> Any:
    """Rounded to 16 bits. (Not differentiated: a slope that is off by a bit may round to another number.)"""
    return tf.stop_gradient(tf.cast(tf.cast(x.tensor, (tf.bfloat16, tf.float16)[m & 1]), x.dtype))


def logic(x: Value, y: Value, m: int, n: int) -> Any:
    low, high = x.tensor > -0.3, x.tensor < 0.4
    joined = (tf.logical_and, tf.logical_or, tf.math.logical_xor)[m % 3](low, high)
    if n & 1 and x.size:
        joined = tf.reduce_any(joined, keepdims=True) if n & 2 else tf.reduce_all(joined, axis=-1 if x.rank else None)
    return tf.cast(joined, x.dtype)


def largest(x: Value, m: int, n: int) -> Any:
    """The largest of each row, in order; or where they were."""
    count = 1 + m % min(5, x.shape[-1])
    values, places = tf.math.top_k(x.tensor, count, sorted=True)
    return tf.cast(places, x.dtype) / 64 if n & 1 else values


def ordered(x: Value, m: int, n: int) -> Any:
    direction = "DESCENDING" if n & 1 else "ASCENDING"
    if n & 2:
        return tf.cast(tf.argsort(x.tensor, m % x.rank, direction, stable=True), x.dtype) / 64
    return tf.sort(x.tensor, m % x.rank, direction)


def max_pool(x: Value, m: int, n: int) -> Any:
    image = taken(x, (1 + n % 2, 3 + m % 6, 3 + n % 7, 1 + m % 3))
    return tf.nn.max_pool2d(image, [1 + m % 3, 1 + n % 3], 1 + m % 2, "SAME" if n & 4 else "VALID")


def extreme_segments(x: Value, m: int, n: int) -> Any:
    """The extremes of rows that belong together. (Each segment has some: the extreme of none is the dtype's own.)"""
    size = x.shape[0]
    numbers = np.random.RandomState(m).permutation(np.arange(size) % (1 + size // 3))
    function = tf.math.unsorted_segment_max if n & 1 else tf.math.unsorted_segment_min
    return function(x.tensor, numbers, 1 + size // 3) if len(set(numbers)) == 1 + size // 3 else None


def found(x: Value, m: int, n: int) -> Any:
    """Where numbers would be put into a sorted row; how many there are; what is left of a row."""
    kind = n % 4
    if kind == 0:
        edges = tf.constant([-0.5, -0.25, 0.0, 0.125, 0.5], x.dtype)
        places = tf.searchsorted(edges, tf.reshape(x.tensor, [-1]), side="left" if m & 1 else "right")
        return tf.cast(places, x.dtype) / 8
    if kind == 1:
        return tf.cast(tf.math.count_nonzero(x.tensor > 0.2, axis=m % x.rank), x.dtype) / 64
    flat = tf.reshape(x.tensor, [-1])
    if kind == 2:
        kept = tf.boolean_mask(flat, flat > 0.2)
        return tf.reduce_max(tf.concat([kept, tf.zeros([1], x.dtype)], 0))
    return tf.cast(tf.size(tf.unique(flat)[0]), x.dtype) / 64


DECIDING: list[Op] = [
    unary(tf.nn.relu),
    unary(tf.nn.relu6),
    unary(tf.negative),
    unary(tf.abs),
    unary(tf.sign),
    unary(lambda x: tf.clip_by_value(x, -0.3, 0.4)),
    unary(lambda x: tf.floor(x * 4.0) * 0.25),
    unary(lambda x: tf.round(x * 8.0) * 0.125 + tf.math.ceil(x) * 0.5),
    binary(tf.maximum),
    binary(tf.minimum),
    binary(lambda x, y: tf.math.floormod(tf.floor(x * 16), tf.floor(tf.abs(y) * 4) + 1) * 0.125),
    reduction(tf.reduce_max),
    reduction(tf.reduce_min),
    select, whole_numbers, half_way, logic,
    rows(positions), rows(largest), rows(ordered), rows(max_pool), rows(extreme_segments), rows(found),
]  # fmt: skip


# ---- an exact value decides what happens to another one -------------------------------------------------------------


def steered(function: Any) -> Op:
    """Something done to the second value, which the first one decides."""
    return lambda x, y, m, n: function(x, y, m, n) if x.size and y.rank and y.size else None


def gathered(x: Value, y: Value, m: int, n: int) -> Any:
    axis = m % y.rank
    shape = (1 + n % 7, 2) if y.rank < 3 and n & 8 and 2 * y.size < 1000 else (1 + n % 7,)
    return tf.gather(y.tensor, indices(x, shape, y.shape[axis]), axis=axis)


def chosen(x: Value, y: Value, m: int, n: int) -> Any:
    condition = tf.reduce_max(x.tensor) > 0.5
    return tf.cond(condition, lambda: -y.tensor, lambda: tf.reverse(y.tensor, [m % y.rank]))


def chosen_among_many(x: Value, y: Value, m: int, n: int) -> Any:
    branches = [lambda: y.tensor, lambda: -y.tensor, lambda: tf.roll(y.tensor, 1, 0), lambda: tf.zeros_like(y.tensor)]
    return tf.switch_case(indices(x, (), 4), branches)


def counted_turns(x: Value, y: Value, m: int, n: int) -> Any:
    """A loop whose number of turns is computed."""
    turns = indices(x, (), 4)
    return tf.while_loop(
        lambda number, value: number < turns,
        lambda number, value: (number + 1, tf.roll(value, 1, m % y.rank) * 0.5 + value * 0.25),
        [tf.constant(0), y.tensor],
    )[1]


def scattered(x: Value, y: Value, m: int, n: int) -> Any:
    """Rows go where the numbers say; the last one wins, or all are added."""
    rows_of_y = y.shape[0]
    if n & 1:
        return tf.math.unsorted_segment_sum(y.tensor * 0.25, indices(x, (rows_of_y,), 5), 5)
    where = indices(x, (1, 1), rows_of_y)
    function = tf.tensor_scatter_nd_add if n & 2 else tf.tensor_scatter_nd_update
    return function(y.tensor, where, y.tensor[:1] * 0.5)


def cut_out(x: Value, y: Value, m: int, n: int) -> Any:
    size = 1 + m % y.shape[0]
    begin = indices(x, (), y.shape[0] - size + 1)
    return tf.slice(y.tensor, tf.stack([begin, *[tf.constant(0)] * (y.rank - 1)]), [size, *y.shape[1:]])


def masked(x: Value, y: Value, m: int, n: int) -> Any:
    lengths = indices(x, (y.shape[0],), 6)
    mask = tf.cast(tf.reduce_any(tf.sequence_mask(lengths, 5), -1), y.dtype)
    return y.tensor * tf.reshape(mask, [-1] + [1] * (y.rank - 1))


STEERED: list[Op] = [
    steered(gathered), steered(chosen), steered(chosen_among_many), steered(counted_turns), steered(scattered),
    steered(cut_out), steered(masked),
    steered(lambda x, y, m, n: tf.roll(y.tensor, indices(x, (), 9), m % y.rank)),
    steered(lambda x, y, m, n: tf.where(taken(x, y.shape) > 0.1, y.tensor, y.tensor * 0.5)),
    steered(lambda x, y, m, n: tf.one_hot(indices(x, (1 + m % 5,), 7), 7, dtype=y.dtype) * tf.reshape(y.tensor, [-1])[0]),
]  # fmt: skip


# ---- integers and truths --------------------------------------------------------------------------------------------


def numbers(function: Any) -> Op:
    """An op of two integers: truths become such first."""

    def apply(x: Value, y: Value, m: int, n: int) -> Any:
        x = Value(tf.cast(x.tensor, tf.int32), x.shape, True) if x.dtype == tf.bool else x
        return function(x.tensor, beside(x, y))

    return apply


def nonzero(x: Any) -> Any:
    return tf.where(tf.equal(x, 0), tf.ones_like(x), x)


def other_type(x: Value, y: Value, m: int, n: int) -> Any:
    types = (tf.int8, tf.uint8, tf.int16, tf.uint16, tf.int32, tf.uint32, tf.int64, tf.uint64, tf.bool)
    return tf.cast(x.tensor, types[m % len(types)])


def comparison(x: Value, y: Value, m: int, n: int) -> Any:
    if x.dtype == tf.bool:
        return (tf.logical_and, tf.logical_or, tf.math.logical_xor)[m % 3](x.tensor, beside(x, y))
    compare = (tf.less, tf.less_equal, tf.greater, tf.greater_equal, tf.equal, tf.not_equal)[m % 6]
    return compare(x.tensor, beside(x, y))


def integer_reduction(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.size:
        return None
    axes = [axis for axis in range(x.rank) if m >> axis & 1] or None
    if x.dtype == tf.bool:
        return (tf.reduce_any if n & 1 else tf.reduce_all)(x.tensor, axis=axes, keepdims=bool(n & 2))
    kinds = (tf.reduce_sum, tf.reduce_prod, tf.reduce_max, tf.reduce_min)
    return kinds[n % 4](x.tensor, axis=axes, keepdims=bool(n & 8))


def integer_rows(x: Value, m: int, n: int) -> Any:
    if x.dtype not in (tf.int32, tf.int64):
        return None
    kind = n % 6
    if kind == 0:
        return tf.cumsum(x.tensor, m % x.rank, exclusive=bool(n & 8), reverse=bool(n & 16))
    if kind == 1:
        return tf.sort(x.tensor, m % x.rank, "DESCENDING" if n & 8 else "ASCENDING")
    if kind == 2:
        return tf.argmax(x.tensor, m % x.rank, output_type=tf.int32)
    if kind == 3:
        return tf.math.unsorted_segment_max(x.tensor, np.arange(x.shape[0]) % 4, 4)
    if kind == 4:
        sums = tf.math.segment_sum(x.tensor, np.arange(x.shape[0]) // 2)
        return tf.ensure_shape(sums, [(x.shape[0] + 1) // 2, *x.shape[1:]])
    return tf.matmul(x.tensor, x.tensor, transpose_b=True) if x.rank == 2 and x.shape[0] <= 100 else None


def chosen_integers(x: Value, y: Value, m: int, n: int) -> Any:
    condition = x.tensor if x.dtype == tf.bool else x.tensor > tf.cast(tf.constant(m % 5), x.dtype)
    number = Value(tf.cast(x.tensor, tf.int32), x.shape, True) if x.dtype == tf.bool else x
    return tf.where(condition, number.tensor, beside(number, y))


def gathered_integers(x: Value, y: Value, m: int, n: int) -> Any:
    return gathered(Value(tf.cast(x.tensor, tf.int32), x.shape, True), y, m, n)


INTEGER: list[Op] = [
    numbers(lambda x, y: x + y),
    numbers(lambda x, y: x - y),
    numbers(lambda x, y: x * y),
    numbers(lambda x, y: x // nonzero(y)),
    numbers(lambda x, y: x % nonzero(y)),
    numbers(tf.maximum),
    numbers(tf.minimum),
    numbers(tf.bitwise.bitwise_and),
    numbers(tf.bitwise.bitwise_or),
    numbers(tf.bitwise.bitwise_xor),
    numbers(lambda x, y: tf.bitwise.invert(x)),
    numbers(lambda x, y: tf.bitwise.left_shift(x, tf.bitwise.bitwise_and(y, tf.cast(tf.constant(7), x.dtype)))),
    numbers(lambda x, y: tf.bitwise.right_shift(x, tf.bitwise.bitwise_and(y, tf.cast(tf.constant(7), x.dtype)))),
    numbers(lambda x, y: tf.abs(x) if not x.dtype.is_unsigned else x),
    numbers(lambda x, y: tf.sign(x) if not x.dtype.is_unsigned else x),
    other_type, other_type, comparison, integer_reduction, integer_reduction, rows(integer_rows), chosen_integers,
    steered(gathered_integers),
]  # fmt: skip
