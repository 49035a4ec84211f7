"""Ops whose results are rounded, and change little where what they take changes little."""

from __future__ import annotations

from typing import Any

import numpy as np

import rillet as tf
from tests.random_values import LARGEST, Op, Value, alike, along, binary, reduction, rows, taken, unary


def mean_of_products(x: Value, y: Value, m: int, n: int) -> Any:
    """A matrix product (of stacks of matrices), its inner axis brought together by force."""
    if x.rank < 2 or y.rank < 1 or not x.size or not y.size:
        return None
    inner = x.shape[-1]
    flat = tf.reshape(alike(y, x), [-1])
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


EQUATIONS = (
    "ij,jk->ik", "ij,kj->ki", "bij,bjk->bik", "bij,bkj->kbi", "bij,kj->bik", "ijk,k->ij", "i,j->ij", "ij,ij->",
    "bihd,bjhd->bhij", "bhij,bjhd->bihd", "abc,cd->dba",
)  # fmt: skip


def contraction(x: Value, y: Value, m: int, n: int) -> Any:
    """A sum of products of axes that are named by letters, of odd extents."""
    if not x.size or not y.size:
        return None
    equation = EQUATIONS[m % len(EQUATIONS)]
    letters = sorted(set(equation) - set(",->"))
    extent = {letter: (1, 2, 3, 5, 7, 9)[(n + 5 * place) % 6] for place, letter in enumerate(letters)}
    left, right = equation.split("->")[0].split(",")
    summed = np.prod([extent[letter] for letter in letters if letter not in equation.split("->")[1]])
    factors = [taken(value, [extent[letter] for letter in word]) for value, word in ((x, left), (y, right))]
    return tf.einsum(equation, *factors) / float(summed)


def convolution(x: Value, y: Value, m: int, n: int) -> Any:
    """In two dimensions, with strides or dilations; by channel; or transposed."""
    if not x.size or not y.size:
        return None
    height, width, channels, out = 3 + m % 6, 3 + n % 7, 1 + m % 3, 1 + n % 5
    image = taken(x, (1 + n % 2, height, width, channels))
    filters = taken(y, (1 + m % 3, 1 + n % 3, channels, out)) / (channels * 3)
    padding = "SAME" if n & 4 else "VALID"
    kind = m >> 5
    if kind == 0:
        return tf.nn.depthwise_conv2d(image, filters, [1, 1 + n % 2, 1 + n % 2, 1], padding)
    if kind == 1:
        shape = [1 + n % 2, 2 * height, 2 * width, out]
        turned = tf.transpose(filters, [0, 1, 3, 2])
        return tf.nn.conv2d_transpose(image, turned, shape, 2, "SAME")
    if kind == 2:
        return tf.nn.conv1d(image[:, 0], filters[0], 1 + m % 2, padding)
    if kind == 3:
        return tf.nn.conv2d(image, filters, 1, "SAME", dilations=[1, 2, 1 + m % 2, 1])
    return tf.nn.conv2d(image, filters, [1, 1 + m % 2, 1 + n % 2, 1], padding)


def average_pool(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.size:
        return None
    image = taken(x, (1 + n % 2, 3 + m % 6, 3 + n % 7, 1 + m % 3))
    return tf.nn.avg_pool2d(image, [1 + m % 3, 1 + n % 3], 1 + m % 2, "SAME" if n & 4 else "VALID")


def scanned(x: Value, m: int, n: int) -> Any:
    if not x.dtype.is_floating or x.dtype.size < 4:
        return None
    kind = n % 4
    if kind == 0:
        return tf.math.cumprod(1.0 + x.tensor * 0.125, m % x.rank, exclusive=bool(n & 16), reverse=bool(n & 32))
    if kind == 1:
        return tf.math.cumulative_logsumexp(x.tensor, m % x.rank, exclusive=False, reverse=bool(n & 32)) * 0.25
    return tf.cumsum(x.tensor * 0.125, m % x.rank, exclusive=bool(n & 16), reverse=bool(n & 32))


def segments(x: Value, m: int, n: int) -> Any:
    """Sums over rows that belong together."""
    size = x.shape[0]
    if n & 1:
        numbers = np.sort(np.random.RandomState(m).randint(0, 1 + size // 2, size))
        sums = (tf.math.segment_mean if n & 2 else tf.math.segment_sum)(x.tensor * 0.25, numbers)
        return tf.ensure_shape(sums, [numbers[-1] + 1, *x.shape[1:]])
    numbers = np.random.RandomState(m).randint(-1, 1 + size // 2, size)
    function = (tf.math.unsorted_segment_sum, tf.math.unsorted_segment_mean, tf.math.unsorted_segment_sqrt_n)[m % 3]
    return function(x.tensor * 0.25, numbers, 1 + size // 2)


def cross_entropy(x: Value, m: int, n: int) -> Any:
    if x.rank < 2:
        return None
    if n & 1:
        labels = np.random.RandomState(m).randint(0, x.shape[-1], x.shape[:-1])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x.tensor) * 0.25
    return tf.nn.softmax_cross_entropy_with_logits(labels=tf.nn.softmax(x.tensor), logits=x.tensor) * 0.25


def normalized(x: Value, m: int, n: int) -> Any:
    axes = [axis for axis in range(x.rank) if m >> axis & 1] or [x.rank - 1]
    mean, variance = tf.nn.moments(x.tensor, axes, keepdims=True)
    return tf.nn.batch_normalization(x.tensor, mean, variance, mean * 0.5 + 0.1, 0.7 if n & 1 else None, 0.1)


def repeated(x: Value, y: Value, m: int, n: int) -> Any:
    """A loop of a few turns."""
    other, turns = alike(y, x) if y.shape == x.shape else x.tensor, m % 4

    def turn(number: Any, value: Any) -> Any:
        return number + 1, tf.tanh(value * 0.5 + other * tf.cast(number, x.dtype) * 0.25)

    return tf.while_loop(lambda number, value: number < turns, turn, [tf.constant(0), x.tensor])[1]


def row_by_row(x: Value, m: int, n: int) -> Any:
    """A recurrence over the rows."""
    if x.shape[0] > 17:
        return None
    if n & 1:
        return tf.scan(lambda state, row: tf.tanh(state * 0.5 + row), x.tensor, reverse=bool(n & 2))
    return tf.map_fn(lambda row: tf.tanh(row) * 0.5, x.tensor)


def two_ways(x: Value, m: int, n: int) -> Any:
    """Both branches are compiled; which one is taken is known to nobody but the program."""
    chosen = tf.size(x.tensor) > m
    return tf.cond(chosen, lambda: tf.sin(x.tensor), lambda: x.tensor * 0.5)


SMOOTH: list[Op] = [
    unary(tf.tanh),
    unary(tf.sin),
    unary(tf.sigmoid),
    unary(lambda x: tf.square(x) * 0.8),
    unary(lambda x: tf.exp(x - 1.0)),
    unary(lambda x: tf.math.log(tf.square(x) + 1.0)),
    unary(lambda x: tf.sqrt(tf.square(x) + 0.5) * 0.8),
    unary(lambda x: tf.math.rsqrt(tf.square(x) + 0.5) * 0.5),
    unary(lambda x: 1.0 - x * 0.5),
    unary(lambda x: tf.math.softplus(x) * 0.5),
    unary(lambda x: tf.math.erf(x)),
    unary(lambda x: tf.math.log1p(tf.square(x)) - tf.math.expm1(x * 0.5)),
    unary(lambda x: tf.math.atan(x) + tf.math.asinh(x) * 0.25),
    unary(lambda x: tf.nn.softsign(x) - tf.math.cosh(x * 0.5) * 0.5),
    unary(lambda x: tf.pow(tf.square(x) + 0.5, 1.3) * 0.5),
    unary(lambda x: tf.nn.gelu(x)),
    unary(tf.nn.elu),
    binary(lambda x, y: (x + y) * 0.5),
    binary(lambda x, y: x * y),
    binary(lambda x, y: (x - y) * 0.5),
    binary(lambda x, y: x / (tf.square(y) + 1.0)),
    binary(lambda x, y: tf.math.squared_difference(x, y) * 0.25),
    binary(lambda x, y: tf.math.atan2(x, tf.square(y) + 0.5)),
    binary(lambda x, y: tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.sigmoid(y + x * 0), logits=x + y * 0) * 0.5),
    reduction(tf.reduce_mean),
    reduction(lambda x, axis, keepdims: tf.reduce_sum(x * 0.125, axis=axis, keepdims=keepdims)),
    reduction(lambda x, axis, keepdims: tf.tanh(tf.reduce_logsumexp(x, axis=axis, keepdims=keepdims))),
    reduction(lambda x, axis, keepdims: tf.reduce_prod(tf.cos(x), axis=axis, keepdims=keepdims)),
    reduction(lambda x, axis, keepdims: tf.math.reduce_variance(x, axis=axis, keepdims=keepdims)),
    along(lambda x, axis: tf.nn.softmax(x, axis)),
    along(lambda x, axis: tf.nn.log_softmax(x, axis) * 0.25),
    along(lambda x, axis: tf.math.l2_normalize(x, axis, epsilon=0.1)),
    along(lambda x, axis: x - tf.reduce_mean(x, axis=axis, keepdims=True)),
    along(lambda x, axis: x / tf.sqrt(tf.reduce_mean(tf.square(x), axis=axis, keepdims=True) + 0.1)),
    unary(lambda x: tf.tanh(tf.nn.l2_loss(x))),
    mean_of_products, mean_of_products, gram, contraction, contraction, convolution, convolution, average_pool,
    rows(scanned), rows(segments), rows(cross_entropy), rows(normalized), repeated, rows(row_by_row), rows(two_ways),
]  # fmt: skip
