"""Arithmetic of sparse tensors: sums, products with dense tensors, reductions, softmax, element-wise extrema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape, broadcast_static_shape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrange import matrix_transpose
from rillet.ops.cast import cast
from rillet.ops.elementwise import conj
from rillet.ops.gather import gather, gather_nd
from rillet.ops.precision import wide
from rillet.ops.shape import expand_dims, reshape, shape_of, size_of_tensor, squeeze
from rillet.ops.sparse import (
    SPARSE_SLICE_GRAD,
    check_bounds,
    check_same_shapes,
    listed,
    matches,
    numbered,
    places,
    reach,
    some_places,
    sparse_result,
    static_rank,
)


def _groups(ids: Any) -> tuple[Any, Any, Any]:
    """For ids in any order: an order in which equal ones are together, where each group begins, and each group's id."""
    order = np.argsort(ids, kind="stable")
    in_groups = ids[order]
    if not len(ids):
        return order, order, in_groups
    starts = np.flatnonzero(np.concatenate([[True], in_groups[1:] != in_groups[:-1]]))
    return order, starts, in_groups[starts]


def _reduced_groups(ufunc: np.ufunc, ids: Any, rows: Any) -> tuple[Any, Any]:
    """The different ids, rising, and `ufunc` over the rows of each."""
    order, starts, found = _groups(ids)
    if not len(ids):
        return found, rows
    rows = wide(rows)
    precise = np.float64 if ufunc is np.add and rows.dtype == np.float32 else rows.dtype
    return found, ufunc.reduceat(rows[order], starts, 0, precise).astype(rows.dtype, copy=False)


# ---- two sparse tensors ---------------------------------------------------------------------------------------------


def _union(kernel: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel on the values at all places of two sparse tensors, zero where one has none: (places, values)."""

    def combined(a: Any, a_values: Any, a_shape: Any, b: Any, b_values: Any, b_shape: Any) -> tuple[Any, Any]:
        check_same_shapes(a_shape, b_shape)
        both = np.concatenate([a, b])
        extents = reach(both)
        numbers, target = np.unique(numbered(both, extents), return_inverse=True)
        left, right = np.zeros((2, len(numbers)), a_values.dtype)
        left[target[: len(a)]] = a_values
        right[target[len(a) :]] = b_values
        return places(numbers, extents), kernel(left, right)

    return combined


_sums = _union(np.add)


def _add_kernel(a: Any, a_values: Any, a_shape: Any, b: Any, b_values: Any, b_shape: Any, threshold: Any) -> Any:
    indices, values = _sums(a, a_values, a_shape, b, b_values, b_shape)
    kept = np.abs(values) >= threshold
    return indices[kept], values[kept], a_shape


def _add_gradient(op: Operation, _: Any, dy: Any, __: Any) -> list[Any]:
    of_a, of_b = apply_op(SPARSE_ADD_GRAD, (dy, op.inputs[0], op.inputs[3], op.outputs[0]))
    return [None, of_a, None, None, of_b, None, None]


SPARSE_ADD = define(
    "SparseAdd",
    "a_indices: int64, a_values: T, a_shape: int64, b_indices: int64, b_values: T, b_shape: int64, thresh: Treal -> "
    "sum_indices: int64, sum_values: T, sum_shape: int64",
    "T: numeric, Treal: real",
    reference=_add_kernel, shape=lambda op: sparse_result(op, 0, 2), gradient=_add_gradient,
)  # fmt: skip


def _picked(values: Any, found: Any) -> Any:
    """values[found], zero where `found` is -1."""
    if not len(values):
        return np.zeros(len(found), values.dtype)
    return np.where(found >= 0, values[found], values.dtype.type(0))


def _add_grad_gradient(op: Operation, of_a: Any, of_b: Any) -> list[Any]:
    _, a, b, total = op.inputs
    start = apply_op(REGISTRY["Fill"], (shape_of(total)[1:], np.int64(0)))
    parts = [apply_op(SPARSE_SLICE_GRAD, (dz, total, start, found)) for dz, found in ((of_a, a), (of_b, b))]
    return [parts[0] + parts[1], None, None, None]


SPARSE_ADD_GRAD = define(
    "SparseAddGrad",
    "backprop_val_grad: T, a_indices: int64, b_indices: int64, sum_indices: int64 -> a_val_grad: T, b_val_grad: T",
    "T: numeric",
    reference=lambda dy, a, b, total: (_picked(dy, matches(a, total)), _picked(dy, matches(b, total))),
    shape=lambda op: [_first_axis(op, 1), _first_axis(op, 2)],
    gradient=_add_grad_gradient,
)  # fmt: skip


def _first_axis(op: Operation, index: int) -> TensorShape:
    known = op.inputs[index].shape.dimensions
    return TensorShape([known[0] if known else None])


for _name, _ufunc in (("Maximum", np.maximum), ("Minimum", np.minimum)):
    define(
        f"SparseSparse{_name}",
        "a_indices: int64, a_values: T, a_shape: int64, b_indices: int64, b_values: T, b_shape: int64 -> "
        "output_indices: int64, output_values: T", "T: real",
        reference=_union(_ufunc), shape=lambda op: some_places(static_rank(op, 0, 2)), gradient=NO_GRADIENT,
    )  # fmt: skip


# ---- sparse and dense, element by element ---------------------------------------------------------------------------


def _dense_add_kernel(indices: Any, values: Any, shape: Any, dense: Any) -> Any:
    if listed(shape) != listed(np.shape(dense)):
        raise ValueError(f"Dimensions of a and b must match: {listed(shape)} vs. {listed(np.shape(dense))}")
    check_bounds(indices, shape)
    result = np.array(dense)
    np.add.at(result, tuple(indices.T), values)
    return result


def _dense_add_shape(op: Operation) -> TensorShape:
    static_rank(op, 0, 2)
    known = constant_value_as_shape(op.inputs[2])
    if not known.is_compatible_with(op.inputs[3].shape):
        raise ShapeError(
            f"Dimensions must be equal, but are {known} and {op.inputs[3].shape} for '{op.type}'",
            f"Dimensions of a and b must match: {known} vs. {op.inputs[3].shape}",
        )
    return op.inputs[3].shape


SPARSE_TENSOR_DENSE_ADD = define(
    "SparseTensorDenseAdd", "a_indices: Tindices, a_values: T, a_shape: Tindices, b: T -> output: T",
    "T: numeric, Tindices: index",
    reference=_dense_add_kernel, shape=_dense_add_shape,
    gradient=lambda op, dy: [None, gather_nd(dy, op.inputs[0]), None, dy],
)  # fmt: skip


def _with_dense(ufunc: np.ufunc) -> Callable[..., Any]:
    def kernel(indices: Any, values: Any, shape: Any, dense: Any) -> Any:
        sizes = tuple(int(size) for size in shape)
        try:
            spread = np.broadcast_to(dense, sizes)
        except ValueError:
            raise ValueError(
                "SparseDenseBinaryOpShared broadcasts dense to sparse only; got incompatible shapes: "
                f"{listed(shape)} vs. {listed(np.shape(dense))}"
            ) from None
        check_bounds(indices, shape)
        other = spread[tuple(indices.T)]
        if ufunc is np.true_divide and values.dtype.kind in "iu":
            if not np.all(other):
                raise ValueError("Integer division by zero")
            return np.trunc(values / other).astype(values.dtype)
        return ufunc(values, other)

    return kernel


def _with_dense_shape(op: Operation) -> TensorShape:
    static_rank(op, 0, 2)
    sizes, dense = constant_value_as_shape(op.inputs[2]), op.inputs[3].shape
    try:
        fits = broadcast_static_shape(sizes, dense).is_compatible_with(sizes)
    except ValueError:
        fits = False
    if not fits:
        shapes = f"{format_shape(sizes.dimensions)} vs. {format_shape(dense.dimensions)}"
        message = f"SparseDenseBinaryOpShared broadcasts dense to sparse only; got incompatible shapes: {shapes}"
        raise ShapeError(message, message)
    return _first_axis(op, 0).merge_with(op.inputs[1].shape)


def _places_in_dense(op: Operation) -> Any:
    """For each value the place of the dense element it meets: axes that were broadcast have index 0."""
    indices, _, shape, dense = op.inputs
    sizes = shape_of(dense, dtypes.int64)
    count = size_of_tensor(sizes)
    last = indices[:, size_of_tensor(shape) - count :]
    return apply_op(REGISTRY["Minimum"], (last, sizes - 1))


def _to_dense(op: Operation, places_: Any, values: Any) -> Any:
    return apply_op(REGISTRY["ScatterNd"], (places_, values, shape_of(op.inputs[3], dtypes.int64)))


def _add_dense_gradient(op: Operation, dz: Any) -> list[Any]:
    return [None, dz, None, _to_dense(op, _places_in_dense(op), dz)]


def _multiply_gradient(op: Operation, dz: Any) -> list[Any]:
    where = _places_in_dense(op)
    y = gather_nd(op.inputs[3], where)
    return [None, dz * conj(y), None, _to_dense(op, where, dz * conj(op.inputs[1]))]


def _divide_gradient(op: Operation, dz: Any) -> list[Any]:
    where = _places_in_dense(op)
    y = gather_nd(op.inputs[3], where)
    of_dense = conj(-op.inputs[1] / (y * y))
    return [None, dz / conj(y), None, _to_dense(op, where, dz * of_dense)]


for _name, _ufunc, _rule in (
    ("Add", np.add, _add_dense_gradient),
    ("Mul", np.multiply, _multiply_gradient),
    ("Div", np.true_divide, _divide_gradient),
):
    define(
        f"SparseDenseCwise{_name}", "sp_indices: int64, sp_values: T, sp_shape: int64, dense: T -> output: T", "T: numeric",
        reference=_with_dense(_ufunc), shape=_with_dense_shape, gradient=_rule,
    )  # fmt: skip


# ---- products -------------------------------------------------------------------------------------------------------


def _matmul_kernel(indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool, adjoint_b: bool) -> Any:
    if len(shape) != 2 or b.ndim != 2:
        raise ValueError(
            f"Tensor 'a_shape' must have 2 elements and 'b' be a matrix, not {len(shape)} and rank {b.ndim}"
        )
    rows, columns = indices.T
    count, inner = int(shape[0]), int(shape[1])
    if adjoint_a:
        rows, columns, count, inner, values = columns, rows, inner, count, np.conj(values)
    if adjoint_b:
        b = np.conj(b.T)
    if inner != len(b):
        raise ValueError(
            f"Cannot multiply A and B because inner dimension does not match: {inner} vs. {len(b)}.  Did you forget a "
            f"transpose?  Dimensions of A: [{shape[0]}, {shape[1]}).  Dimensions of B: {listed(b.shape)}"
        )
    _check_factor(rows, count, "m", 0)
    _check_factor(columns, inner, "k", 1)
    result = np.zeros((count, b.shape[1]), wide(b).dtype)
    found, sums = _reduced_groups(np.add, rows, wide(values)[:, None] * wide(b)[columns])
    result[found] = sums
    return result


def _check_factor(numbers: Any, limit: int, letter: str, axis: int) -> None:
    outside = np.flatnonzero((numbers < 0) | (numbers >= limit))
    if outside.size:
        row = outside[0]
        raise ValueError(f"{letter} ({numbers[row]}) from index[{row},{axis}] out of bounds (>={limit})")


def _matmul_shape(op: Operation) -> TensorShape:
    if static_rank(op, 0, 2) not in (None, 2):
        raise ShapeError("Dimension must be 2: the sparse tensor must be a matrix", marks={0: [1]})
    if op.inputs[3].shape.rank not in (None, 2):
        raise ShapeError(f"Shape must be rank 2 but is rank {op.inputs[3].shape.rank}", marks={3: [0]})
    a = constant_value_as_shape(op.inputs[2]).dimensions or (None, None)
    b = op.inputs[3].shape.dimensions or (None, None)
    rows, inner = (a[1], a[0]) if op.attrs["adjoint_a"] else a
    other, columns = (b[1], b[0]) if op.attrs["adjoint_b"] else b
    if inner is not None and other is not None and inner != other:
        raise ShapeError(
            f"Dimensions must be equal, but are {inner} and {other} for '{op.type}'",
            f"Cannot multiply A and B because inner dimension does not match: {inner} vs. {other}.  Did you forget a transpose?",
        )
    return TensorShape([rows, columns])


def _matmul_gradient(op: Operation, dy: Any) -> list[Any]:
    indices, values, shape, b = op.inputs
    adjoint_a, adjoint_b = op.attrs["adjoint_a"], op.attrs["adjoint_b"]
    of_b = apply_op(SPARSE_TENSOR_DENSE_MATMUL, (indices, values, shape, dy), {"adjoint_a": not adjoint_a})
    rows, columns = indices[:, 0], indices[:, 1]
    if adjoint_a:
        rows, columns = columns, rows
    if adjoint_b:
        b = conj(matrix_transpose(b))
        of_b = conj(matrix_transpose(of_b))
    left, right = gather(dy, rows), gather(b, columns)
    products = apply_op(
        REGISTRY["BatchMatMulV2"], (expand_dims(left, -2), expand_dims(right, -2)), {"adj_y": True}, "MatMul"
    )
    of_values = squeeze(products, [-2, -1])
    return [None, conj(of_values) if adjoint_a else of_values, None, of_b]


SPARSE_TENSOR_DENSE_MATMUL = define(
    "SparseTensorDenseMatMul", "a_indices: Tindices, a_values: T, a_shape: int64, b: T -> product: T",
    "T: numeric, Tindices: index = int64, adjoint_a: bool = False, adjoint_b: bool = False",
    reference=_matmul_kernel, shape=_matmul_shape, gradient=_matmul_gradient,
)  # fmt: skip


# ---- reductions -----------------------------------------------------------------------------------------------------


def _reduced_axes(axes: Any, rank: int) -> list[int]:
    result = []
    for axis in np.ravel(axes).tolist():
        if not -rank <= axis < rank:
            raise ValueError(f"Invalid reduction dimension {axis}, for input with {rank} dimensions.")
        result.append(axis % rank)
    return result


def _reduction(ufunc: np.ufunc) -> Callable[..., Any]:
    """(places, values, shape) of a reduction; the places count all axes that stay, or are kept with size 1."""

    def kernel(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> tuple[Any, Any, Any]:
        rank = len(shape)
        gone = _reduced_axes(axes, rank)
        moved, sizes = np.array(indices, np.int64), np.array(shape, np.int64)
        moved[:, gone], sizes[gone] = 0, 1
        if not keep_dims:
            rest = [axis for axis in range(rank) if axis not in gone]
            moved, sizes = moved[:, rest], sizes[rest]
        extents = reach(moved)
        numbers, results = _reduced_groups(ufunc, numbered(moved, extents), values)
        return places(numbers, extents), results, sizes

    return kernel


def _dense_reduction(ufunc: np.ufunc) -> Callable[..., Any]:
    sparsely = _reduction(ufunc)

    def kernel(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> Any:
        found, results, sizes = sparsely(indices, values, shape, axes, keep_dims=keep_dims)
        dense = np.zeros(int(np.prod(sizes)), results.dtype)
        dense[numbered(found, sizes)] = results
        return dense.reshape(sizes)

    return kernel


def _reduced_shape(op: Operation) -> TensorShape:
    sizes, axes = constant_value_as_shape(op.inputs[2]), constant_value(op.inputs[3])
    if sizes.dimensions is None or axes is None:
        return UNKNOWN
    try:
        gone = _reduced_axes(axes, len(sizes.dimensions))
    except ValueError as error:
        raise ShapeError(str(error), str(error)) from None
    if op.attrs["keep_dims"]:
        return TensorShape([1 if axis in gone else size for axis, size in enumerate(sizes.dimensions)])
    return TensorShape([size for axis, size in enumerate(sizes.dimensions) if axis not in gone])


def _reduced_sparse_shapes(op: Operation) -> list[TensorShape]:
    rank = _reduced_shape(op).rank
    return [*some_places(rank), TensorShape([rank])]


def _reduce_sum_gradient(op: Operation, dy: Any) -> list[Any]:
    """Each value has the gradient at the place where it went: along the reduced axes that is index 0."""
    indices, _, shape, axes = op.inputs
    kept = _static_kept_shape(op)
    if kept is not None:
        spread = reshape(dy, kept)
        scale = shape // cast(kept, dtypes.int64)
        return [None, gather_nd(spread, indices // scale), None, None]
    rank = size_of_tensor(shape)
    axes = reshape(axes, [-1]) % rank
    ones = apply_op(REGISTRY["OnesLike"], (axes,))
    is_kept = apply_op(REGISTRY["Equal"], (apply_op(REGISTRY["UnsortedSegmentSum"], (ones, axes, rank)), np.int32(0)))
    is_kept = cast(is_kept, dtypes.int64)
    return [None, gather_nd(reshape(dy, shape * is_kept + (1 - is_kept)), indices * is_kept), None, None]


def _static_kept_shape(op: Operation) -> Any:
    """The shape of the result with the reduced axes kept; None where it isn't known, or an axis is empty."""
    sizes, axes = constant_value_as_shape(op.inputs[2]), constant_value(op.inputs[3])
    if axes is None or not sizes.is_fully_defined() or 0 in sizes.as_list():
        return None
    gone = _reduced_axes(axes, len(sizes.as_list()))
    return np.array([1 if axis in gone else size for axis, size in enumerate(sizes.as_list())], np.int32)


_REDUCED = "input_indices: int64, input_values: T, input_shape: int64, reduction_axes: int32"
for _name, _ufunc, _types, _rule in (
    ("Sum", np.add, "numeric", _reduce_sum_gradient),
    ("Max", np.maximum, "real", NO_GRADIENT),
):
    define(
        f"SparseReduce{_name}", f"{_REDUCED} -> output: T", f"keep_dims: bool = False, T: {_types}",
        reference=_dense_reduction(_ufunc), shape=_reduced_shape, gradient=_rule,
    )  # fmt: skip
    define(
        f"SparseReduce{_name}Sparse", f"{_REDUCED} -> output_indices: int64, output_values: T, output_shape: int64",
        f"keep_dims: bool = False, T: {_types}",
        reference=_reduction(_ufunc), shape=_reduced_sparse_shapes, gradient=NO_GRADIENT,
    )  # fmt: skip


# ---- softmax --------------------------------------------------------------------------------------------------------


def _softmax_kernel(indices: Any, values: Any, shape: Any) -> Any:
    if len(shape) < 2:
        raise ValueError(f"Input should have rank >= 2, got: {len(shape)}")
    check_bounds(indices, shape)
    rows = numbered(indices[:, :-1], reach(indices[:, :-1]))
    order, starts, _ = _groups(rows)
    if not len(values):
        return values
    grouped = wide(values)[order]
    lengths = np.diff(np.append(starts, len(order)))
    shifted = np.exp(grouped - np.repeat(np.maximum.reduceat(grouped, starts), lengths))
    result = np.empty_like(shifted)
    result[order] = shifted / np.repeat(np.add.reduceat(shifted, starts), lengths)
    return result


def _softmax_gradient(op: Operation, dy: Any) -> list[Any]:
    indices, _, shape = op.inputs
    y = op.outputs[0]
    sums = apply_op(REGISTRY["SparseReduceSum"], (indices, y * dy, shape, [-1]), {"keep_dims": True})
    centred = apply_op(REGISTRY["SparseDenseCwiseAdd"], (indices, dy, shape, -sums))
    return [None, centred * y, None]


def _softmax_shape(op: Operation) -> TensorShape:
    rank = static_rank(op, 0, 2)
    if rank is not None and rank < 2:
        raise ShapeError(
            f"Shape must be at least rank 2 but is rank {rank}", f"Input should have rank >= 2, got: {rank}"
        )
    return op.inputs[1].shape


SPARSE_SOFTMAX = define(
    "SparseSoftmax", "sp_indices: int64, sp_values: T, sp_shape: int64 -> output: T", "T: floating",
    reference=_softmax_kernel, shape=_softmax_shape, gradient=_softmax_gradient,
)  # fmt: skip
