"""Keeping values and norms within bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.broadcasting import unbroadcast
from rillet.ops.cast import cast
from rillet.ops.constants import identity
from rillet.ops.creation import ones_like_v1 as ones_like
from rillet.ops.elementwise import constant_like, maximum, minimum, rsqrt, sqrt
from rillet.ops.reduce import reduce_sum
from rillet.ops.scope import scope
from rillet.ops.shape import rank, size

# ---- values ---------------------------------------------------------------------------------------------------------


def _clip_shape(op: Operation) -> TensorShape:
    """Bounds are scalars or have the shape of the values."""
    shape = op.inputs[0].shape
    for index, bound in enumerate(op.inputs[1:], 1):
        if bound.shape.rank != 0 and not bound.shape.is_compatible_with(shape):
            found, wanted = format_shape(bound.shape.dimensions), format_shape(shape.dimensions)
            name = op.definition.signature.inputs[index].name
            message = f"{name} must be a scalar or have the shape of t: {found} vs. {wanted}"
            raise ShapeError(message, message, {0: range(shape.rank or 0), index: range(bound.shape.rank or 0)})
    return shape


def _clip_gradient(op: Operation, dz: Any) -> list[Any]:
    value, low, high = op.inputs
    zeros = apply_op(REGISTRY["ZerosLike"], (dz,))
    is_low, is_high = value < low, value > high
    below, above = _select(is_low, dz, zeros), _select(is_high, dz, zeros)
    return [
        _select(is_low | is_high, zeros, dz),
        unbroadcast((value, low), (None, below))[1],
        unbroadcast((value, high), (None, above))[1],
    ]


def _select(condition: Any, x: Any, y: Any) -> Any:
    return apply_op(REGISTRY["Select"], (condition, x, y))


define(
    "ClipByValue", "t: T, clip_value_min: T, clip_value_max: T -> output: T", "T: numeric",
    reference=lambda t, low, high: np.maximum(np.minimum(t, high), low),
    shape=_clip_shape, gradient=_clip_gradient, elementwise=True,
)  # fmt: skip


@public("clip_by_value")
def clip_by_value(t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None) -> Any:
    """`t` (a tensor or IndexedSlices), where elements outside of the bounds are replaced by the bound.

    clip_value_min, clip_value_max: of t's dtype, scalars or what broadcasts to the shape of `t`.
    Raises ValueError when a bound has another shape than that.
    """
    values = t.values if isinstance(t, IndexedSlices) else t
    with scope(name or "clip_by_value", values, clip_value_min, clip_value_max) as full_name:
        values = convert_to_tensor(values, name="t")
        below = minimum(values, clip_value_max)
        values.shape.assert_is_compatible_with(below.shape)
        clipped = maximum(below, clip_value_min, full_name)
        values.shape.assert_is_compatible_with(clipped.shape)
    return _repack(t, clipped)


def _repack(original: Any, values: Any) -> Any:
    if isinstance(original, IndexedSlices):
        return IndexedSlices(values, original.indices, original.dense_shape)
    return values


# ---- norms ----------------------------------------------------------------------------------------------------------


@public("clip_by_norm")
def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Any:
    """`t` (a tensor or IndexedSlices), scaled down where its L2 norm over `axes` (None: all) exceeds
    `clip_norm` (below 0, that counts as 0)."""
    values = t.values if isinstance(t, IndexedSlices) else t
    with scope(name or "clip_by_norm", values, clip_norm) as full_name:
        values = convert_to_tensor(values, name="t")
        clip_norm = maximum(clip_norm, 0.0) if isinstance(clip_norm, Tensor) else max(clip_norm, 0)
        total = reduce_sum(values * values, axes, keepdims=True)
        is_positive = total > 0
        norm = sqrt(_select(is_positive, total, ones_like(total)))
        norm = _select(is_positive, norm, total)
        scaled = values * clip_norm
        values.shape.assert_is_compatible_with(scaled.shape)
        clipped = identity(scaled / maximum(norm, clip_norm), full_name)
    return _repack(t, clipped)


@public(v1=["clip_by_average_norm"])
def clip_by_average_norm(t: Any, clip_norm: Any, name: str | None = None) -> Any:
    """`t`, scaled down where its L2 norm divided by its number of elements exceeds `clip_norm`."""
    with scope(name or "clip_by_average_norm", t, clip_norm) as full_name:
        values = convert_to_tensor(t, name="t")
        count = cast(size(values), values.dtype)
        squares = values * values
        axes = apply_op(REGISTRY["Range"], (0, rank(values), 1), name="range")
        inverse = rsqrt(reduce_sum(squares, axes))
        scaled = values * clip_norm
        factor = minimum(inverse * count, constant_like(1.0, values) / clip_norm)
        return identity(scaled * factor, full_name)


@public("linalg.global_norm", v1=["global_norm"])
def global_norm(t_list: Sequence[Any], name: str | None = None) -> Any:
    """The square root of the sum of the squares of all elements of all tensors (or IndexedSlices) in the list.

    None entries are left out. TypeError when `t_list` is no list.
    """
    values = [None if t is None else t.values if isinstance(t, IndexedSlices) else t for t in _as_list(t_list)]
    with scope(name or "global_norm", *values):
        tensors = [convert_to_tensor(value, name=f"t_{i}") for i, value in enumerate(values) if value is not None]
        halves = [apply_op(REGISTRY["L2Loss"], (tensor,)) for tensor in tensors]
        total = reduce_sum(apply_op(REGISTRY["Pack"], (halves,), {"axis": 0}, "stack") if halves else [])
        return sqrt(total * constant_like(2.0, total), "global_norm")


def _as_list(t_list: Any) -> list[Any]:
    if isinstance(t_list, (Tensor, str, bytes)) or not isinstance(t_list, Sequence):
        raise TypeError(f"`t_list` should be a sequence of tensors. Received {type(t_list)}.")
    return list(t_list)


@public("clip_by_global_norm")
def clip_by_global_norm(t_list: Sequence[Any], clip_norm: Any, use_norm: Any = None, name: str | None = None) -> Any:
    """Scales all tensors (or IndexedSlices, or None) of a list by clip_norm / max(norm, clip_norm).

    use_norm: the norm, where it is known; None computes `global_norm(t_list)`.
    Returns the scaled list and the norm. Where the norm is infinite or nan, so is every element (nan).
    Raises TypeError when `t_list` is no list.
    """
    items = _as_list(t_list)
    norm = global_norm(items, name) if use_norm is None else use_norm
    values = [t.values if isinstance(t, IndexedSlices) else t for t in items]
    with scope(name or "clip_by_global_norm", *values, clip_norm) as full_name:
        norm = convert_to_tensor(norm)
        ratio = minimum(1.0 / norm, constant_like(1.0, norm) / clip_norm)
        factor = clip_norm * ratio + (norm - norm)  # inf - inf is nan
        done: dict[int, Any] = {}
        scaled = []
        for index, value in enumerate(values):
            if value is not None and id(value) not in done:
                label = None if full_name is None else f"{full_name}_{index}"
                done[id(value)] = identity(value * factor, label)
            scaled.append(None if value is None else _repack(items[index], done[id(value)]))
    return scaled, norm
