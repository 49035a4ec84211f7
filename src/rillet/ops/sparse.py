"""Sparse tensors, given by indices, values and shape: made dense, reordered, reshaped, cut, joined, filled up."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value_as_shape
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrange import invert_permutation
from rillet.ops.gather import gather, gather_nd
from rillet.ops.reduce import reduce_sum
from rillet.ops.shape import reshape, shape_of

# ---- places ---------------------------------------------------------------------------------------------------------


def numbered(indices: Any, shape: Any) -> Any:
    """The number of each place in row-major order: [n, rank] -> [n]."""
    sizes = [int(size) for size in shape]
    strides = np.ones(len(sizes), np.int64)
    for axis in range(len(sizes) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * sizes[axis + 1]
    return np.asarray(indices, np.int64) @ strides


def places(numbers: Any, shape: Any) -> Any:
    """The inverse of `numbered`: [n] -> [n, rank]."""
    result = np.empty((len(numbers), len(shape)), np.int64)
    for axis in range(len(shape) - 1, -1, -1):
        numbers, result[:, axis] = np.divmod(numbers, max(int(shape[axis]), 1))
    return result


def reach(indices: Any) -> Any:
    """The smallest shape that holds these places: numbers in it stay small, and rise as those in the full shape do."""
    return indices.max(axis=0) + 1 if len(indices) else np.ones(indices.shape[1], np.int64)


def listed(values: Any) -> str:
    return f"[{','.join(str(int(value)) for value in np.ravel(values))}]"


def check_bounds(indices: Any, shape: Any) -> None:
    """ValueError for a place outside the shape."""
    outside = np.flatnonzero(((indices < 0) | (indices >= shape)).any(axis=1))
    if outside.size:
        row = outside[0]
        raise ValueError(f"indices[{row}] = {listed(indices[row])} is out of bounds: need 0 <= index < {listed(shape)}")


def check_order(indices: Any, shape: Any) -> None:
    """ValueError for places outside the shape, not in row-major order, or said twice."""
    check_bounds(indices, shape)
    steps = np.diff(numbered(indices, reach(indices)))
    wrong = np.flatnonzero(steps <= 0)
    if wrong.size:
        row = wrong[0] + 1
        what = "is repeated" if steps[wrong[0]] == 0 else (
            "is out of order. Many sparse ops require sorted indices.\n"
            "    Use `tf.sparse.reorder` to create a correctly ordered copy.\n\n"
        )  # fmt: skip
        raise ValueError(f"indices[{row}] = {listed(indices[row])} {what}")


def check_same_shapes(first: Any, second: Any) -> None:
    """ValueError where two sparse tensors have different dense shapes."""
    if len(first) != len(second):
        raise ValueError(f"Operands' ranks do not match: got {len(first)} and {len(second)}")
    for axis, (left, right) in enumerate(zip(first, second, strict=True)):
        if left != right:
            raise ValueError(f"Operands' shapes do not match: got {left} and {right} for dimension {axis}")


def in_order(indices: Any, values: Any) -> tuple[Any, Any]:
    """Places and values in row-major order; equal places stay in their order."""
    order = np.argsort(numbered(indices, reach(indices)), kind="stable")
    return indices[order], values[order]


def matches(wanted: Any, among: Any) -> Any:
    """For each row of `wanted`, where it is in `among`; -1 where it isn't. Both [n, rank], not negative in `among`."""
    if not len(among) or not len(wanted):
        return np.full(len(wanted), -1)
    extents = np.maximum(wanted.max(axis=0), among.max(axis=0)) + 1
    inside = (wanted >= 0).all(axis=1)
    numbers, known = numbered(wanted, extents), numbered(among, extents)
    order = np.argsort(known, kind="stable")
    found = np.minimum(np.searchsorted(known, numbers, sorter=order), len(known) - 1)
    return np.where(inside & (known[order[found]] == numbers), order[found], -1)


# ---- static inference -----------------------------------------------------------------------------------------------


def static_rank(op: Operation, indices: int, shape: int) -> int | None:
    """The rank of the dense tensor, from the static shapes of its indices and its shape."""
    of_indices, of_shape = op.inputs[indices].shape, op.inputs[shape].shape
    for known, axis, what in ((of_indices, 1, "indices"), (of_shape, 0, "shape")):
        if known.rank not in (None, axis + 1):
            raise ShapeError(f"Shape must be rank {axis + 1} but is rank {known.rank} ({what})")
    ranks = [known.dimensions[axis] for known, axis in ((of_indices, 1), (of_shape, 0)) if known.dimensions is not None]
    known_ranks = [rank for rank in ranks if rank is not None]
    if len(set(known_ranks)) > 1:
        raise ShapeError(f"Dimensions must be equal, but are {known_ranks[0]} and {known_ranks[1]} for '{op.type}'")
    return known_ranks[0] if known_ranks else None


def some_places(rank: int | None) -> list[TensorShape]:
    """The static shapes of indices and values of which only the rank is known."""
    return [TensorShape([None, rank]), TensorShape([None])]


def sparse_result(op: Operation, indices: int, shape: int) -> list[TensorShape]:
    """Inference for an op whose outputs are indices, values and shape, of the rank of an input."""
    rank = static_rank(op, indices, shape)
    return [*some_places(rank), TensorShape([rank])]


# ---- dense ----------------------------------------------------------------------------------------------------------


def _to_dense_kernel(indices: Any, shape: Any, values: Any, default: Any, *, validate_indices: bool) -> Any:
    indices, values = np.asarray(indices), np.asarray(values)
    if indices.ndim > 2:
        raise ValueError(f"sparse_indices should be a scalar, vector, or matrix, got shape {listed(indices.shape)}")
    if np.ndim(shape) != 1:
        raise ValueError(f"output_shape must be rank 1, got shape {listed(np.shape(shape))}")
    rows = indices if indices.ndim == 2 else indices.reshape(-1, 1)
    if rows.shape[1] != len(shape):
        raise ValueError(f"output_shape has incorrect number of elements: {len(shape)} should be: {rows.shape[1]}")
    if values.ndim > 1 or (values.ndim and len(values) != len(rows)):
        raise ValueError(f"sparse_values has incorrect shape {listed(values.shape)}, should be [] or [{len(rows)}]")
    (check_order if validate_indices else check_bounds)(rows, shape)
    result = np.empty([int(size) for size in shape], values.dtype)
    result[...] = default
    result[tuple(rows.T)] = values
    return result


def _to_dense_shape(op: Operation) -> TensorShape:
    indices, shape = op.inputs[0].shape, op.inputs[1].shape
    if indices.rank is not None and indices.rank > 2:
        raise ShapeError(
            f"Shape must be at most rank 2 but is rank {indices.rank}", marks={0: list(range(indices.rank))}
        )
    if shape.rank not in (None, 1):
        raise ShapeError(f"Shape must be rank 1 but is rank {shape.rank}", marks={1: list(range(shape.rank or 0))})
    return constant_value_as_shape(op.inputs[1])


def _to_dense_gradient(op: Operation, dy: Any) -> list[Any]:
    """Each value has the gradient at its place, the default the sum over all other places."""
    indices, _, values, _ = op.inputs
    if indices.shape.rank != 2:
        indices = reshape(indices, [-1, 1])
    of_values = gather_nd(dy, indices)
    of_default = reduce_sum(dy) - reduce_sum(of_values)
    if values.shape.rank == 0:
        of_values = reduce_sum(of_values)
    return [None, None, of_values, of_default]


SPARSE_TO_DENSE = define(
    "SparseToDense", "sparse_indices: Tindices, output_shape: Tindices, sparse_values: T, default_value: T -> dense: T",
    "T: type, Tindices: index, validate_indices: bool = True",
    reference=_to_dense_kernel, shape=_to_dense_shape, gradient=_to_dense_gradient,
)  # fmt: skip


# ---- order and shape ------------------------------------------------------------------------------------------------


def _reorder_kernel(indices: Any, values: Any, shape: Any) -> tuple[Any, Any]:
    if indices.shape[1] != len(shape):
        raise ValueError(f"Input shape should have {indices.shape[1]} elements, not {len(shape)}")
    check_bounds(indices, shape)
    return in_order(indices, values)


def _reorder_shapes(op: Operation) -> list[TensorShape]:
    static_rank(op, 0, 2)
    return [op.inputs[0].shape, op.inputs[1].shape]


def _reorder_gradient(op: Operation, _: Any, dy: Any) -> list[Any]:
    indices, values, shape = op.inputs
    count = shape_of(values)[0]
    sources = apply_op(REGISTRY["Range"], (0, count, 1), name="range")
    order = apply_op(SPARSE_REORDER, (indices, sources, shape))[1]
    return [None, gather(dy, invert_permutation(order)), None]


SPARSE_REORDER = define(
    "SparseReorder",
    "input_indices: int64, input_values: T, input_shape: int64 -> output_indices: int64, output_values: T", "T: type",
    reference=_reorder_kernel, shape=_reorder_shapes, gradient=_reorder_gradient,
)  # fmt: skip


def _reshape_kernel(indices: Any, shape: Any, new_shape: Any) -> tuple[Any, Any]:
    sizes = np.array(new_shape, np.int64)
    total = int(np.prod(shape, dtype=np.int64))
    open_axes = np.flatnonzero(sizes == -1)
    if open_axes.size > 1:
        raise ValueError(f"only one output dimension may be -1, not both {open_axes[0]} and {open_axes[1]}")
    if (sizes < -1).any():
        raise ValueError(f"size {np.flatnonzero(sizes < -1)[0]} must be non-negative, not {sizes[sizes < -1][0]}")
    if open_axes.size:
        rest = int(np.prod(sizes[sizes != -1], dtype=np.int64))
        if rest <= 0:
            raise ValueError(
                "reshape cannot infer the missing input size for an empty tensor unless all specified input sizes are non-zero"
            )
        sizes[open_axes] = total // rest if total % rest == 0 else 1
        if total % rest:
            raise ValueError(
                f"Input to reshape is a SparseTensor with {total} dense values, but the requested shape requires a multiple "
                f"of {rest}. input_shape={listed(shape)} output_shape={listed(sizes)}"
            )
    if int(np.prod(sizes, dtype=np.int64)) != total:
        raise ValueError(
            f"Input to reshape is a tensor with {total} dense values, but the requested shape has "
            f"{np.prod(sizes)}. input_shape={listed(shape)} output_shape={listed(sizes)}"
        )
    return places(numbered(indices, shape), sizes), sizes


def _reshape_shapes(op: Operation) -> list[TensorShape]:
    static_rank(op, 0, 1)
    indices, new_shape = op.inputs[0].shape, op.inputs[2].shape
    rank = None if new_shape.dimensions is None else new_shape.dimensions[0]
    return [TensorShape([None if indices.dimensions is None else indices.dimensions[0], rank]), TensorShape([rank])]


SPARSE_RESHAPE = define(
    "SparseReshape",
    "input_indices: int64, input_shape: int64, new_shape: int64 -> output_indices: int64, output_shape: int64",
    reference=_reshape_kernel, shape=_reshape_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


# ---- joining and cutting --------------------------------------------------------------------------------------------


def _concat_kernel(*parts: Any, concat_dim: int, N: int) -> tuple[Any, Any, Any]:
    indices, values, shapes = parts[:N], parts[N : 2 * N], parts[2 * N :]
    rank = len(shapes[0])
    axis = concat_dim + rank if concat_dim < 0 else concat_dim
    if not 0 <= axis < rank:
        raise ValueError(f"Concat dimension must be in range [{-rank}, {rank}), got {concat_dim}")
    offset, moved = 0, []
    result = np.array(shapes[0], np.int64)
    for position, (part, shape) in enumerate(zip(indices, shapes, strict=True)):
        if len(shape) != rank:
            raise ValueError(
                f"Ranks of all input tensors must match: expected {rank} but got {len(shape)} at position {position}"
            )
        for other in range(rank):
            if other != axis and shape[other] != result[other]:
                raise ValueError(
                    f"Input shapes must match: expected {result[other]} for dimension {other} but got {shape[other]} at "
                    f"position {position}"
                )
        moved.append(part + np.eye(rank, dtype=np.int64)[axis] * offset)
        offset += int(shape[axis])
    result[axis] = offset
    return *in_order(np.concatenate(moved), np.concatenate(values)), result


def _concat_shapes(op: Operation) -> list[TensorShape]:
    count = op.attrs["N"]
    ranks = [static_rank(op, index, 2 * count + index) for index in range(count)]
    known = [rank for rank in ranks if rank is not None]
    if len(set(known)) > 1:
        raise ShapeError(f"Dimensions must be equal, but are {known[0]} and {known[1]} for '{op.type}'")
    rows = [tensor.shape.dimensions[0] if tensor.shape.dimensions else None for tensor in op.inputs[:count]]
    total = None if None in rows else sum(rows)  # type: ignore[arg-type]
    rank = known[0] if known else None
    return [TensorShape([total, rank]), TensorShape([total]), TensorShape([rank])]


SPARSE_CONCAT = define(
    "SparseConcat",
    "indices: N*int64, values: N*T, shapes: N*int64 -> output_indices: int64, output_values: T, output_shape: int64",
    "concat_dim: int, N: int, T: type",
    reference=_concat_kernel, shape=_concat_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


def _within(indices: Any, values: Any, start: Any, extents: Any) -> tuple[Any, Any]:
    """What lies in a box, its places counted from the box's corner."""
    inside = ((indices >= start) & (indices < start + extents)).all(axis=1)
    return indices[inside] - start, values[inside]


def _split_kernel(axis: Any, indices: Any, values: Any, shape: Any, *, num_split: int) -> tuple[Any, ...]:
    rank = len(shape)
    chosen = int(axis) + rank if axis < 0 else int(axis)
    if not 0 <= chosen < rank:
        raise ValueError(f"Input split_dim should be between {-rank} and rank ({rank}), got {int(axis)}")
    size = int(shape[chosen])
    if not 1 <= num_split <= size:
        raise ValueError(
            f"Input num_split should be between 1 and the splitting dimension size ({size}), got {num_split}"
        )
    longer, length = size % num_split, size // num_split
    start, parts = np.zeros(rank, np.int64), []
    for index in range(num_split):
        extents = np.array(shape, np.int64)
        extents[chosen] = length + (index < longer)
        parts.append((*_within(indices, values, start, extents), extents))
        start[chosen] += extents[chosen]
    return tuple(part[kind] for kind in range(3) for part in parts)


def _split_shapes(op: Operation) -> list[TensorShape]:
    rank = static_rank(op, 1, 3)
    count = op.attrs["num_split"]
    return [*[TensorShape([None, rank])] * count, *[TensorShape([None])] * count, *[TensorShape([rank])] * count]


SPARSE_SPLIT = define(
    "SparseSplit",
    "split_dim: int64, indices: int64, values: T, shape: int64 -> "
    "output_indices: num_split*int64, output_values: num_split*T, output_shape: num_split*int64",
    "num_split: int, T: type",
    reference=_split_kernel, shape=_split_shapes, gradient=NO_GRADIENT,
)  # fmt: skip


def _slice_kernel(indices: Any, values: Any, shape: Any, start: Any, size: Any) -> tuple[Any, Any, Any]:
    if not len(shape) == len(start) == len(size):
        raise ValueError(
            f"Expected start and size to be vectors of length {len(shape)}, not {len(start)} and {len(size)}"
        )
    if (size < 0).any():
        raise ValueError(f"Expected size to be non-negative, not {listed(size)}")
    extents = np.clip(np.minimum(size, shape - start), 0, None)
    return *_within(indices, values, start, extents), extents


def _slice_gradient(op: Operation, _: Any, dy: Any, __: Any) -> list[Any]:
    inputs = (dy, op.inputs[0], op.inputs[3], op.outputs[0])
    return [None, apply_op(SPARSE_SLICE_GRAD, inputs), None, None, None]


SPARSE_SLICE = define(
    "SparseSlice",
    "indices: int64, values: T, shape: int64, start: int64, size: int64 -> "
    "output_indices: int64, output_values: T, output_shape: int64", "T: type",
    reference=_slice_kernel, shape=lambda op: sparse_result(op, 0, 2), gradient=_slice_gradient,
)  # fmt: skip


def _slice_grad_kernel(dy: Any, indices: Any, start: Any, output_indices: Any) -> Any:
    found = matches(indices - start, output_indices)
    if not len(dy):
        return np.zeros(len(found), dy.dtype)
    return np.where(found >= 0, dy[found], dy.dtype.type(0))


def _slice_grad_gradient(op: Operation, dz: Any) -> list[Any]:
    """The transpose has the same form: the two sets of places change roles, and the way goes back."""
    _, indices, start, output_indices = op.inputs
    return [apply_op(SPARSE_SLICE_GRAD, (dz, output_indices, -start, indices)), None, None, None]


SPARSE_SLICE_GRAD = define(
    "SparseSliceGrad",
    "backprop_val_grad: T, input_indices: int64, input_start: int64, output_indices: int64 -> val_grad: T", "T: numeric",
    reference=_slice_grad_kernel,
    shape=lambda op: UNKNOWN if op.inputs[1].shape.dimensions is None else op.inputs[1].shape[:1],
    gradient=_slice_grad_gradient,
)  # fmt: skip


# ---- empty rows -----------------------------------------------------------------------------------------------------


def _fill_kernel(indices: Any, values: Any, shape: Any, default: Any) -> tuple[Any, Any, Any, Any]:
    if np.ndim(default):
        raise ValueError(f"default_value must be a scalar, not of shape {format_shape(np.shape(default))}")
    if not len(shape):
        raise ValueError("Dense shape cannot be empty.")
    count, rows = int(shape[0]), indices[:, 0]
    outside = np.flatnonzero((rows < 0) | (rows >= count))
    if outside.size:
        raise ValueError(f"indices({outside[0]}, 0) is invalid: {rows[outside[0]]} >= {count}")
    is_empty = np.bincount(rows, minlength=count) == 0 if len(rows) else np.ones(count, bool)
    added = np.zeros((int(is_empty.sum()), len(shape)), np.int64)
    added[:, 0] = np.flatnonzero(is_empty)
    everything = np.concatenate([indices, added])
    order = np.argsort(everything[:, 0], kind="stable")
    filling = np.empty(len(added), values.dtype)
    filling[:] = default
    target = np.empty(len(order), np.int64)
    target[order] = np.arange(len(order))
    return everything[order], np.concatenate([values, filling])[order], is_empty, target[: len(rows)]


def _fill_shapes(op: Operation) -> list[TensorShape]:
    rank = static_rank(op, 0, 2)
    rows = constant_value_as_shape(op.inputs[2]).dimensions
    count = op.inputs[0].shape.dimensions
    return [*some_places(rank), TensorShape([rows[0] if rows else None]), TensorShape([count[0] if count else None])]


def _fill_gradient(op: Operation, _: Any, dy: Any, __: Any, ___: Any) -> list[Any]:
    of_values, of_default = apply_op(SPARSE_FILL_EMPTY_ROWS_GRAD, (op.outputs[3], dy))
    return [None, of_values, None, of_default]


SPARSE_FILL_EMPTY_ROWS = define(
    "SparseFillEmptyRows",
    "indices: int64, values: T, dense_shape: int64, default_value: T -> "
    "output_indices: int64, output_values: T, empty_row_indicator: bool, reverse_index_map: int64", "T: type",
    reference=_fill_kernel, shape=_fill_shapes, gradient=_fill_gradient,
)  # fmt: skip


def _fill_grad_kernel(target: Any, dy: Any) -> tuple[Any, Any]:
    outside = np.flatnonzero((target < 0) | (target >= len(dy)))
    if outside.size:
        raise ValueError(f"Elements in reverse index must be in [0, {len(dy)}) but got {target[outside[0]]}")
    is_filling = np.ones(len(dy), bool)
    is_filling[target] = False
    return dy[target], dy[is_filling].sum()


def _fill_grad_gradient(op: Operation, of_values: Any, of_default: Any) -> list[Any]:
    target, dy = op.inputs
    extents = shape_of(dy)
    rows = reshape(target, [-1, 1])
    known = apply_op(REGISTRY["ScatterNd"], (rows, of_values, shape_of(dy, dtypes.int64)))
    ones = apply_op(REGISTRY["Fill"], (shape_of(target), of_values.dtype.as_numpy_dtype(1)))
    is_known = apply_op(REGISTRY["ScatterNd"], (rows, ones, shape_of(dy, dtypes.int64)))
    spread = apply_op(REGISTRY["Fill"], (extents, of_default))
    return [None, known + (1 - is_known) * spread]


SPARSE_FILL_EMPTY_ROWS_GRAD = define(
    "SparseFillEmptyRowsGrad", "reverse_index_map: int64, grad_values: T -> d_values: T, d_default_value: T", "T: numeric",
    reference=_fill_grad_kernel,
    shape=lambda op: [op.inputs[0].shape, TensorShape(())],
    gradient=_fill_grad_gradient,
)  # fmt: skip
