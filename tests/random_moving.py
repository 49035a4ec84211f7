"""Ops that move elements, of whatever dtype: what they give is exact where what they take is."""

from __future__ import annotations

from typing import Any

import numpy as np

import rillet as tf
from tests.random_values import EXTENTS, LARGEST, MOST_AXES, Op, Shape, Value, alike, along, rows, taken, unary


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


def repeat(x: Value, y: Value, m: int, n: int) -> Any:
    axis = m % x.rank if x.rank else 0
    if not x.rank or 3 * x.size > LARGEST:
        return None
    each = [1 + (n + place) % 3 for place in range(x.shape[axis])]
    if not n & 16:
        return tf.repeat(x.tensor, 2, axis)
    return tf.ensure_shape(tf.repeat(x.tensor, each, axis), [*x.shape[:axis], sum(each), *x.shape[axis + 1 :]])


def concatenate(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank:
        return None
    axis = m % x.rank
    other = y if y.rank == x.rank and _without(y.shape, axis) == _without(x.shape, axis) else x
    parts = [x.tensor, alike(other, x), x.tensor][: 2 + (n & 1)]
    return tf.concat(parts[:: -1 if n & 2 else 1], axis) if 3 * (x.size + other.size) <= LARGEST else None


def _without(shape: Shape, axis: int) -> Shape:
    return (*shape[:axis], *shape[axis + 1 :])


def stack(x: Value, y: Value, m: int, n: int) -> Any:
    other = alike(y, x) if y.shape == x.shape else x.tensor
    return tf.stack([other, x.tensor], m % (x.rank + 1)) if x.rank < MOST_AXES and 2 * x.size <= LARGEST else None


def part(x: Value, y: Value, m: int, n: int) -> Any:
    """A strided slice, forwards or backwards."""
    if not x.rank:
        return None
    pieces: list[Any] = []
    for axis, size in enumerate(x.shape):
        choice = (m >> 2 * axis) % 4
        if choice == 0 or size <= 1:
            pieces.append(slice(None))
        elif choice == 1:
            pieces.append(slice(n % size, None))
        elif choice == 2:
            pieces.append(slice(None, None, -1 if n & 1 else 2))
        else:
            pieces.append(slice(size // 3, size - size // 4, 1 + n % 2))
    return x.tensor[tuple(pieces)]


def part_of_other_rank(x: Value, y: Value, m: int, n: int) -> Any:
    """A slice that loses an axis, and may win one."""
    if not x.rank or not x.shape[-1]:
        return None
    taken_out = m % x.shape[-1]
    return x.tensor[..., tf.newaxis, taken_out] if n & 1 else x.tensor[..., taken_out]


def pad(x: Value, y: Value, m: int, n: int) -> Any:
    amounts = [[m >> axis & 1, n >> axis & 1] for axis in range(x.rank)]
    if not x.rank or np.prod([low + size + high for size, (low, high) in zip(x.shape, amounts)]) > LARGEST:
        return None
    if n & 16 and min(x.shape) >= 2:
        return tf.pad(x.tensor, amounts, mode="REFLECT" if m & 64 else "SYMMETRIC")
    return tf.pad(x.tensor, amounts, constant_values=tf.cast(tf.constant(m & 1), x.dtype))


def gather(x: Value, y: Value, m: int, n: int) -> Any:
    axis = m % x.rank if x.rank else 0
    if not x.rank or not x.shape[axis]:
        return None
    return tf.gather(x.tensor, [m % x.shape[axis], n % x.shape[axis], 0][: 1 + n % 3], axis=axis)


def gather_in_batches(x: Value, y: Value, m: int, n: int) -> Any:
    if x.rank < 2 or not x.size:
        return None
    where = np.random.RandomState(m).randint(0, x.shape[1], (x.shape[0], 1 + n % 3))
    return tf.gather(x.tensor, where, axis=1, batch_dims=1)


def gather_points(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not x.size:
        return None
    depth = 1 + n % x.rank
    where = [[(m + 3 * place + axis) % x.shape[axis] for axis in range(depth)] for place in range(1 + m % 5)]
    return tf.gather_nd(x.tensor, where)


def scatter(x: Value, y: Value, m: int, n: int) -> Any:
    """The rows in another order, with room between them."""
    if not x.rank or not x.size or 2 * x.size > LARGEST:
        return None
    places = np.random.RandomState(m).permutation(2 * x.shape[0])[: x.shape[0]]
    return tf.scatter_nd(places[:, None], x.tensor, [2 * x.shape[0], *x.shape[1:]])


def overwrite(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not x.size or not y.size:
        return None
    rows_of_x = np.random.RandomState(m).permutation(x.shape[0])[: 1 + n % 3]
    new = taken(Value(alike(y, x), y.shape, y.is_exact), (len(rows_of_x), *x.shape[1:]))
    return tf.tensor_scatter_nd_update(x.tensor, rows_of_x[:, None], new)


def unstack(x: Value, y: Value, m: int, n: int) -> Any:
    if not x.rank or not 0 < x.shape[-1] <= 8:
        return None
    parts = tf.unstack(x.tensor, axis=-1)
    return tf.stack(parts[::-1], axis=n % x.rank) if n & 4 else parts[m % x.shape[-1]]


def split(x: Value, y: Value, m: int, n: int) -> Any:
    axis = m % x.rank if x.rank else 0
    if not x.rank or x.shape[axis] < 2:
        return None
    if x.shape[axis] % 2 or n & 2:
        size = x.shape[axis]
        sizes = [size // 3, size - size // 3]
        return tf.split(x.tensor, sizes, axis)[n & 1]
    return tf.split(x.tensor, 2, axis)[n & 1]


def roll(x: Value, m: int, n: int) -> Any:
    return tf.roll(x.tensor, n - 7, m % x.rank)


def reverse_rows(x: Value, m: int, n: int) -> Any:
    """Of each row, the beginning backwards."""
    if x.rank < 2:
        return None
    lengths = [(m + 3 * row) % (x.shape[1] + 1) for row in range(x.shape[0])]
    return tf.reverse_sequence(x.tensor, lengths, seq_axis=1, batch_axis=0)


def band(x: Value, m: int, n: int) -> Any:
    if x.rank < 2:
        return None
    return tf.linalg.band_part(x.tensor, m % (x.shape[-2] + 1) - 1, n % (x.shape[-1] + 1) - 1)


def diagonal(x: Value, m: int, n: int) -> Any:
    if x.rank >= 2 and n & 1:
        return tf.linalg.diag_part(x.tensor)
    return tf.linalg.diag(x.tensor) if x.size * x.shape[-1] <= LARGEST and x.rank < MOST_AXES else None


def blocks(x: Value, m: int, n: int) -> Any:
    """Squares of an image into its channels, or back."""
    if x.size < 16:
        return None
    if n & 1:
        return tf.nn.space_to_depth(taken(x, (1, 4, 2 * (1 + m % 2), 1 + m % 3)), 2)
    return tf.nn.depth_to_space(taken(x, (1, 2, 1 + m % 3, 4 * (1 + m % 2))), 2)


def stitched(x: Value, m: int, n: int) -> Any:
    order = np.random.RandomState(m).permutation(x.shape[0])
    cut = n % (x.shape[0] + 1)
    return tf.dynamic_stitch([order[:cut], order[cut:]], [x.tensor[:cut], x.tensor[cut:]])


MOVING: list[Op] = [
    reshape, reshape, transpose, transpose, expand, broadcast, tile, repeat, concatenate, concatenate, stack, part, part,
    part_of_other_rank, pad, pad, gather, gather_in_batches, gather_points, scatter, overwrite, unstack, split,
    rows(roll), rows(reverse_rows), rows(band), rows(diagonal), rows(blocks), rows(stitched),
    unary(tf.identity),
    unary(tf.stop_gradient),
    unary(tf.zeros_like),
    along(lambda x, axis: tf.reverse(x, [axis])),
]  # fmt: skip
