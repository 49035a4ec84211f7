"""Repeating the entries of an axis: tf.repeat."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.opdef import REGISTRY
from rillet.core.shapes import TensorShape
from rillet.ops.arrange import tile
from rillet.ops.arrays import is_concrete
from rillet.ops.gather import gather
from rillet.ops.indexing import boolean_mask
from rillet.ops.join import concat
from rillet.ops.scope import scope
from rillet.ops.sequences import sequence_mask
from rillet.ops.shape import broadcast_to, expand_dims, reshape, shape_of


@public("repeat")
def repeat(input: Any, repeats: Any, axis: int | None = None, name: str | None = None) -> Any:
    """Each entry of `input` along `axis` repeated `repeats` times: one number, or one for each entry.

    axis: None flattens the input first.
    Raises ValueError when there are more or fewer numbers than entries, InvalidArgumentError for negative ones.
    """
    with scope(name or "Repeat", input, repeats):
        data = convert_to_tensor(input, name="data")
        counts = _counts(repeats, is_concrete(data, repeats))
        if axis is None:
            data, axis = reshape(data, [-1]), 0
        if data.shape.rank is None:
            raise ValueError("tf.repeat needs to know the rank of its input")
        rank = data.shape.rank
        if not rank:
            data, axis, rank = reshape(data, [1]), 0, 1
        if not -rank <= axis < rank:
            raise ValueError(f"Argument `axis` = {axis} not in range [{-rank}, {rank})")
        axis %= rank
        _check_counts(counts.shape, data.shape.dimensions[axis])
        if counts.shape.num_elements() == 1:
            return _repeated_alike(data, counts, axis)
        if is_concrete(data, counts):
            places = np.repeat(np.arange(data.shape.dimensions[axis]), _checked(counts._array))
            return gather(data, places.astype(np.int32), axis=axis)
        return _repeated_each(data, counts, axis)


def _counts(repeats: Any, concrete: bool) -> Any:
    counts = convert_to_tensor(repeats, name="repeats")
    if not counts.dtype.is_integer:
        counts = convert_to_tensor(repeats, dtypes.int32, name="repeats")
    if concrete and counts.dtype.base_dtype is dtypes.int32:
        return counts
    return apply_op(REGISTRY["Cast"], (counts,), {"DstT": dtypes.int32})


def _check_counts(counts: TensorShape, size: int | None) -> None:
    if counts.rank is not None and counts.rank > 1:
        raise ValueError(f"Shape {counts} must have rank at most 1")
    found = counts.num_elements()
    if counts.rank == 1 and None not in (found, size) and found not in (1, size):
        raise ValueError(f"Dimensions {size} and {found} are not compatible")


def _checked(counts: Any) -> Any:
    if counts.size and int(counts.min()) < 0:
        raise ValueError(f"tf.repeat cannot repeat {int(counts.min())} times")
    return counts


def _repeated_alike(data: Any, count: Any, axis: int) -> Any:
    shape, count = shape_of(data), reshape(count, [])
    expanded = expand_dims(data, axis + 1)
    multiples = [count if place == axis + 1 else 1 for place in range(data.shape.rank + 1)]
    tiled = tile(expanded, multiples)
    return reshape(tiled, concat([shape[:axis], [count * shape[axis]], shape[axis + 1 :]], 0))


def _repeated_each(data: Any, counts: Any, axis: int) -> Any:
    """As often as the largest number says, and what is too much masked out."""
    counts = broadcast_to(counts, [shape_of(data)[axis]])
    zero = convert_to_tensor(np.zeros(1, np.int32), name="Const")
    longest = apply_op(REGISTRY["Max"], (counts, zero), {"keep_dims": False})
    longest = apply_op(REGISTRY["Maximum"], (convert_to_tensor(0, dtypes.int32, name="zero"), longest))
    mask = sequence_mask(counts, longest)
    expanded = expand_dims(data, axis + 1)
    multiples = [longest if place == axis + 1 else 1 for place in range(data.shape.rank + 1)]
    return boolean_mask(tile(expanded, multiples), mask, axis=axis)
