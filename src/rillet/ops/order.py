"""Order: top_k, sort, nth_element, binary search, and the distinct values of a vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.errors import ShapeError
from rillet.ops.arrange import transpose
from rillet.ops.arrays import as_array, is_concrete, static_axis
from rillet.ops.cast import cast
from rillet.ops.creation import zeros
from rillet.ops.gather import gather
from rillet.ops.join import stack
from rillet.ops.scope import scope
from rillet.ops.select import where
from rillet.ops.sequences import range_
from rillet.ops.shape import expand_dims, rank, reshape, shape_of, size_of_tensor

# ---- the largest ----------------------------------------------------------------------------------------------------


def _descending(value: Any) -> Any:
    """The order that sorts the last axis from large to small; equal elements keep their order."""
    backwards = np.argsort(value[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    return value.shape[-1] - 1 - backwards


def _top_k_kernel(value: Any, k: Any, *, index_type: DType) -> tuple[Any, Any]:
    value, count = as_array(value), int(k)
    if value.ndim == 0:
        raise ValueError("input must be >= 1-D, got shape []")
    if count < 0:
        raise ValueError(f"Need k >= 0, got {count}")
    if value.shape[-1] < count:
        raise ValueError(f"input must have at least k columns. Had {value.shape[-1]}, needed {count}")
    order = _descending(value)[..., :count]
    return np.take_along_axis(value, order, -1), order.astype(index_type.numpy_dtype)


def _top_k_shape(op: Operation) -> list[TensorShape]:
    dimensions, k = op.inputs[0].shape.dimensions, constant_value(op.inputs[1])
    count = None if k is None else int(k)
    if dimensions is None:
        return [UNKNOWN, UNKNOWN]
    if not dimensions:
        raise ShapeError("Shape must be at least rank 1 but is rank 0", "input must be >= 1-D, got shape []")
    if count is not None and count < 0:
        raise ShapeError(f"Need k >= 0, got {count}")
    if count is not None and dimensions[-1] is not None and dimensions[-1] < count:
        raise ShapeError(
            f"input must have last dimension >= k = {count} but is {dimensions[-1]}",
            f"input must have at least k columns. Had {dimensions[-1]}, needed {count}",
            {0: [-1]},
        )
    return [TensorShape([*dimensions[:-1], count])] * 2


def _top_k_gradient(op: Operation, dy: Any, _: Any) -> list[Any]:
    """`dy` at the places the values came from."""
    shape, indices_shape = shape_of(op.inputs[0]), shape_of(op.outputs[1])
    columns = _last_entry(cast(indices_shape, dtypes.int64))
    rows = reshape(op.outputs[1], stack([-1, columns]))
    width = _last_entry(cast(shape, dtypes.int64))
    count = cast(shape_of(rows)[0], dtypes.int64)
    starts = range_(0, count * width, width)
    places = reshape(rows + cast(expand_dims(starts, -1), rows.dtype), [-1])
    column, flat_dy = expand_dims(places, -1), reshape(dy, [-1])
    total = apply_op(
        REGISTRY["Prod"], (shape, convert_to_tensor([0], dtypes.int32, name="Const")), {"keep_dims": False}
    )
    flat = apply_op(REGISTRY["ScatterNd"], (column, flat_dy, [cast(total, places.dtype)]))
    return [reshape(flat, shape), zeros([], dtypes.int32)]


def _last_entry(vector: Any) -> Any:
    return gather(vector, size_of_tensor(vector) - 1)


define(
    "TopKV2", "input: T, k: Tk -> values: T, indices: index_type",
    "sorted: bool = True, T: real, Tk: {int16, int32, int64} = int32, index_type: {int16, int32, int64} = int32",
    reference=_top_k_kernel, shape=_top_k_shape, gradient=_top_k_gradient,
)  # fmt: skip


@public("math.top_k", "nn.top_k")
def top_k(input: Any, k: Any = 1, sorted: bool = True, index_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """The `k` largest elements along the last axis, and where they are: a named tuple (values, indices).

    Of equal elements the one with the lower index comes first. Raises InvalidArgumentError (ValueError while building a
    graph) when the axis is shorter than k.
    """
    attrs = {"sorted": sorted, "index_type": dtypes.as_dtype(index_type)}
    return apply_op(REGISTRY["TopKV2"], (input, k), attrs, name)


def _in_top_k_kernel(predictions: Any, targets: Any, k: Any) -> Any:
    count, classes = predictions.shape
    if targets.shape != (count,):
        raise ValueError(f"First dimension of predictions {count} must match length of targets {len(targets)}")
    valid = (targets >= 0) & (targets < classes)
    chosen = predictions[np.arange(count), np.where(valid, targets, 0)]
    better = (predictions > chosen[:, None]).sum(axis=1)
    return valid & np.isfinite(chosen) & np.isfinite(predictions).all(axis=1) & (better < int(k))


def _in_top_k_shape(op: Operation) -> TensorShape:
    predictions, targets = op.inputs[0].shape, op.inputs[1].shape
    for shape, wanted in ((predictions, 2), (targets, 1)):
        if shape.rank not in (None, wanted):
            raise ShapeError(
                f"Shape must be rank {wanted} but is rank {shape.rank}",
                "predictions must be 2-dimensional" if wanted == 2 else "targets must be 1-dimensional",
            )
    counts = [shape.dimensions[0] for shape in (predictions, targets) if shape.dimensions is not None]
    known = [count for count in counts if count is not None]
    if len(set(known)) > 1:
        raise ShapeError(
            f"Dimensions must be equal, but are {known[0]} and {known[1]}",
            f"First dimension of predictions {known[0]} must match length of targets {known[1]}",
            {0: [0], 1: [0]},
        )
    return TensorShape([known[0] if known else None])


define(
    "InTopKV2", "predictions: float32, targets: T, k: T -> precision: bool", "T: index = int32",
    reference=_in_top_k_kernel, shape=_in_top_k_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "InTopK", "predictions: float32, targets: T -> precision: bool", "k: int, T: index = int32",
    reference=lambda predictions, targets, *, k: _in_top_k_kernel(predictions, targets, k),
    shape=_in_top_k_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public(v2=["math.in_top_k", "nn.in_top_k"])
def in_top_k(targets: Any, predictions: Any, k: Any, name: str | None = None) -> Any:
    """Whether the class targets[i] is among the `k` largest of predictions[i] (ties count as being among them).

    targets: int32 or int64 [n]; predictions: float32 [n, classes]. Returns booleans [n].
    """
    with scope(name or "in_top_k", targets, predictions):
        return apply_op(REGISTRY["InTopKV2"], (predictions, targets, k))


@public(v1=["math.in_top_k", "nn.in_top_k"])
def in_top_k_v1(predictions: Any, targets: Any, k: Any, name: str | None = None) -> Any:
    """As tf.math.in_top_k, with the predictions first."""
    return in_top_k(targets, predictions, k, name)


# ---- sort -----------------------------------------------------------------------------------------------------------


@public("sort")
def sort(values: Any, axis: Any = -1, direction: str = "ASCENDING", name: str | None = None) -> Any:
    """`values` sorted along `axis`. direction: "ASCENDING" or "DESCENDING".

    Raises ValueError for another direction, or an axis that is no constant.
    """
    with scope(name or "sort", values):
        return _sorted(values, axis, direction, indices=False)


@public("argsort")
def argsort(
    values: Any, axis: Any = -1, direction: str = "ASCENDING", stable: bool = False, name: str | None = None
) -> Any:
    """The int32 indices that sort `values` along `axis`. It is always stable: equal elements keep their order."""
    with scope(name or "argsort", values):
        return _sorted(values, axis, direction, indices=True)


def _sorted(values: Any, axis: Any, direction: str, indices: bool) -> Any:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise ValueError(
            f"Argument `direction` should be one of ASCENDING, DESCENDING. Received: direction={direction}"
        )
    values = convert_to_tensor(values, name="values")
    known = constant_value(convert_to_tensor(axis, name="axis"))
    if known is None:
        raise ValueError("Argument `axis` must be a constant scalar.")
    values_or_flipped = _flipped(values) if direction == "ASCENDING" else values
    result = _top_along(values_or_flipped, int(known), indices)
    return result if indices or direction == "DESCENDING" else _flipped(result)


def _flipped(values: Any) -> Any:
    """The values in the opposite order: negated, as far as the dtype has negative numbers."""
    if values.dtype.is_unsigned:
        return values.dtype.as_numpy_dtype(values.dtype.max) - values
    if values.dtype.is_integer:  # -x alone would overflow for the smallest number
        return -values - 1
    return -values


def _top_along(values: Any, axis: int, indices: bool) -> Any:
    """All values along an axis, largest first (or the indices of that order)."""
    count = shape_of(values)[axis]
    known = constant_value(rank(values))
    known = None if known is None else int(known)
    is_last = axis == -1 or (known is not None and axis % known == known - 1)
    if is_last:
        top = top_k(values, count)
        return top.indices if indices else top.values
    if known is None:
        permutation = _exchanged(rank(values), axis)
    else:
        place = static_axis(axis, known)
        order = [*range(place), known - 1, *range(place + 1, known - 1), place]
        permutation = convert_to_tensor(np.array(order, np.int64), name="transposition")
    top = top_k(transpose(values, permutation), count)
    return transpose(top.indices if indices else top.values, permutation)


def _exchanged(count: Any, axis: int) -> Any:
    """The order of `count` axes in which `axis` and the last have changed places."""
    place = count + axis if axis < 0 else convert_to_tensor(axis, dtypes.int32)
    axes, last = range_(count), count - 1
    behind = where(apply_op(REGISTRY["Equal"], (axes, last)), place, axes)
    return where(apply_op(REGISTRY["Equal"], (axes, place)), last, behind)


def _nth_kernel(value: Any, n: Any, *, reverse: bool) -> Any:
    place, value = int(n), as_array(value)
    if place < 0:
        raise ValueError(f"Need n >= 0, got {place}")
    if value.ndim == 0 or value.shape[-1] <= place:
        raise ValueError(f"Input must have last dimension > n = {place}")
    return np.sort(value, axis=-1)[..., value.shape[-1] - 1 - place if reverse else place]


def _nth_shape(op: Operation) -> TensorShape:
    dimensions, n = op.inputs[0].shape.dimensions, constant_value(op.inputs[1])
    if dimensions is None:
        return UNKNOWN
    if n is not None and dimensions and dimensions[-1] is not None and dimensions[-1] <= int(n):
        raise ShapeError(f"Input must have last dimension > n = {int(n)} but is {dimensions[-1]}")
    return TensorShape(dimensions[:-1])


def _nth_gradient(op: Operation, dy: Any) -> list[Any]:
    """Equal elements share the gradient."""
    value, result = op.inputs[0], op.outputs[0]
    chosen = cast(apply_op(REGISTRY["Equal"], (expand_dims(result, -1), value)), dy.dtype)
    count = expand_dims(apply_op(REGISTRY["Sum"], (chosen, -1), {"keep_dims": False}), -1)
    return [chosen / count * expand_dims(dy, -1), None]


define(
    "NthElement", "input: T, n: int32 -> values: T", "reverse: bool = False, T: real",
    reference=_nth_kernel, shape=_nth_shape, gradient=_nth_gradient,
)  # fmt: skip


@public(v1=["contrib.nn.nth_element"])
def nth_element(input: Any, n: Any, reverse: bool = False, name: str | None = None) -> Any:
    """The n-th smallest (from 0; with `reverse` the n-th largest) element along the last axis."""
    return apply_op(REGISTRY["NthElement"], (input, n), {"reverse": reverse}, name)


# ---- binary search --------------------------------------------------------------------------------------------------


def _search(sorted_rows: Any, values: Any, side: Any, out_type: DType) -> Any:
    if sorted_rows.ndim != 2 or values.ndim != 2 or len(sorted_rows) != len(values):
        raise ValueError(
            f"Leading dim_size of both tensors must match. sorted_inputs: {list(sorted_rows.shape)}, values: {list(values.shape)}"
        )
    places = [np.searchsorted(row, wanted, side) for row, wanted in zip(sorted_rows, values, strict=True)]
    return np.array(places, out_type.numpy_dtype).reshape(values.shape)


define(
    "LowerBound", "sorted_inputs: T, values: T -> output: out_type", "T: type, out_type: index = int32",
    reference=lambda rows, values, *, out_type: _search(rows, values, "left", out_type),
    shape=lambda op: op.inputs[1].shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "UpperBound", "sorted_inputs: T, values: T -> output: out_type", "T: type, out_type: index = int32",
    reference=lambda rows, values, *, out_type: _search(rows, values, "right", out_type),
    shape=lambda op: op.inputs[1].shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("searchsorted")
def searchsorted(
    sorted_sequence: Any, values: Any, side: str = "left", out_type: Any = dtypes.int32, name: str | None = None
) -> Any:
    """Where each of `values` would be inserted into the sorted last axis of `sorted_sequence`, so that it stays sorted.

    side: "left" is before equal elements, "right" after them. Leading axes of both are batch axes and agree.
    Raises ValueError for another side.
    """
    if side not in ("left", "right"):
        raise ValueError(f"Argument `side` must be either 'right' or 'left'. Received: `side` = '{side}'.")
    sequence, wanted = convert_to_tensor(sorted_sequence), convert_to_tensor(values)
    columns, count = _last_size(sequence), _last_size(wanted)
    rows = reshape(sequence, [-1, columns])
    flat = reshape(wanted, [-1, count])
    definition = REGISTRY["LowerBound" if side == "left" else "UpperBound"]
    found = apply_op(definition, (rows, flat), {"out_type": dtypes.as_dtype(out_type)}, name)
    return reshape(found, _sizes(wanted))


def _sizes(tensor: Any) -> Any:
    if is_concrete(tensor) or not tensor.shape.is_fully_defined():
        return shape_of(tensor)
    with scope("Shape", tensor):
        return convert_to_tensor(np.array(tensor.shape.as_list(), np.int32), name="shape_as_tensor")


def _last_size(tensor: Any) -> Any:
    return _sizes(tensor)[-1]


# ---- distinct values ------------------------------------------------------------------------------------------------


def _first_seen(keys: Any, axis: int) -> tuple[Any, Any, Any]:
    """(places of the distinct slices, group of each slice, size of each group), in the order they first occur."""
    if axis is None or keys.ndim == 1:
        _, first, group, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True, equal_nan=False
        )
    else:
        _, first, group, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True, axis=axis)
    order = np.argsort(first, kind="stable")
    renumbered = np.empty_like(order)
    renumbered[order] = np.arange(len(order))
    return first[order], renumbered[group.reshape(-1)], counts[order]


def _unique_kernel(value: Any, *, out_idx: DType) -> tuple[Any, Any]:
    return _unique_counted(value, out_idx=out_idx)[:2]


def _unique_counted(value: Any, *, out_idx: DType) -> tuple[Any, Any, Any]:
    value = as_array(value)
    if value.ndim != 1:
        raise ValueError("unique expects a 1D vector.")
    first, group, counts = _first_seen(value, 0)
    kind = out_idx.numpy_dtype
    return value[first], group.astype(kind), counts.astype(kind)


def _unique_v2_counted(value: Any, axis: Any, *, out_idx: DType) -> tuple[Any, Any, Any]:
    value, axes = as_array(value), np.ravel(axis).tolist()
    if not axes:
        return _unique_counted(value, out_idx=out_idx)
    if len(axes) > 1:
        raise ValueError("axis does not support input tensors larger than 1 elements")
    if not -value.ndim <= axes[0] < value.ndim:
        raise ValueError(f"axis has to be between [0, {value.ndim})")
    place = axes[0] % value.ndim
    first, group, counts = _first_seen(value, place)
    kind = out_idx.numpy_dtype
    return np.take(value, first, place), group.astype(kind), counts.astype(kind)


def _unique_v2_kernel(value: Any, axis: Any, *, out_idx: DType) -> tuple[Any, Any]:
    return _unique_v2_counted(value, axis, out_idx=out_idx)[:2]


def _unique_shape(op: Operation) -> list[TensorShape]:
    shape = op.inputs[0].shape
    if shape.rank not in (None, 1):
        raise ShapeError(f"Shape must be rank 1 but is rank {shape.rank}", "unique expects a 1D vector.")
    return [TensorShape([None]), shape.with_rank(1), TensorShape([None])][: len(op.outputs)]


def _unique_v2_shape(op: Operation) -> list[TensorShape]:
    shape, axis = op.inputs[0].shape, constant_value(op.inputs[1])
    if axis is None or shape.dimensions is None:
        return [UNKNOWN, TensorShape([None]), TensorShape([None])][: len(op.outputs)]
    axes = np.ravel(axis).tolist()
    if not axes:
        return _unique_shape(op)
    place = static_axis(axes[0], len(shape.dimensions))
    sizes = [None if position == place else size for position, size in enumerate(shape.dimensions)]
    return [TensorShape(sizes), TensorShape([shape.dimensions[place]]), TensorShape([None])][: len(op.outputs)]


_UNIQUE = "T: type, out_idx: index = int32"
define(
    "Unique", "x: T -> y: T, idx: out_idx", _UNIQUE,
    reference=_unique_kernel, shape=_unique_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "UniqueWithCounts", "x: T -> y: T, idx: out_idx, count: out_idx", _UNIQUE,
    reference=_unique_counted, shape=_unique_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "UniqueV2", "x: T, axis: Taxis -> y: T, idx: out_idx", f"Taxis: index = int64, {_UNIQUE}",
    reference=_unique_v2_kernel, shape=_unique_v2_shape, gradient=NO_GRADIENT,
)  # fmt: skip
define(
    "UniqueWithCountsV2", "x: T, axis: Taxis -> y: T, idx: out_idx, count: out_idx", f"Taxis: index = int64, {_UNIQUE}",
    reference=_unique_v2_counted, shape=_unique_v2_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("unique")
def unique(x: Any, out_idx: Any = dtypes.int32, name: str | None = None) -> Any:
    """The distinct elements of a vector in the order they first occur, and for each element the index of its value:
    a named tuple (y, idx) with y[idx[i]] == x[i]. Raises InvalidArgumentError unless x is a vector."""
    return apply_op(REGISTRY["Unique"], (x,), {"out_idx": dtypes.as_dtype(out_idx)}, name)


@public("unique_with_counts")
def unique_with_counts(x: Any, out_idx: Any = dtypes.int32, name: str | None = None) -> Any:
    """As tf.unique, with how often each value occurs: a named tuple (y, idx, count)."""
    return apply_op(REGISTRY["UniqueWithCounts"], (x,), {"out_idx": dtypes.as_dtype(out_idx)}, name)


def _list_diff_kernel(x: Any, y: Any, *, out_idx: DType) -> tuple[Any, Any]:
    for label, value in (("x", x), ("y", y)):
        if np.ndim(value) != 1:
            raise ValueError(f"{label} should be a 1D vector.")
    kept = np.flatnonzero(~np.isin(x, y))
    return x[kept], kept.astype(out_idx.numpy_dtype)


define(
    "ListDiff", "x: T, y: T -> out: T, idx: out_idx", _UNIQUE,
    reference=_list_diff_kernel, shape=lambda op: [TensorShape([None]), TensorShape([None])], gradient=NO_GRADIENT,
)  # fmt: skip


@public(v1=["setdiff1d"])
def setdiff1d(x: Any, y: Any, index_dtype: Any = dtypes.int32, name: str | None = None) -> Any:
    """The elements of vector `x` that are not in `y`, in order, and their indices: a named tuple (out, idx)."""
    return apply_op(REGISTRY["ListDiff"], (x, y), {"out_idx": dtypes.as_dtype(index_dtype)}, name)


@public(v1=["listdiff"])
def listdiff(x: Any, y: Any, out_idx: Any = None, name: str | None = None) -> Any:
    """As tf.setdiff1d."""
    return setdiff1d(x, y, out_idx or dtypes.int32, name)
