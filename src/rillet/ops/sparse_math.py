"""Arithmetic on sparse tensors: sums, products with dense tensors, reductions, softmax, minima and maxima."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value, constant_value_as_shape
from rillet.ops.cast import cast
from rillet.ops.elementwise import conj
from rillet.ops.families import axes_tuple
from rillet.ops.shape import shape_of
from rillet.ops.sparse import flat_positions, places_in, rank_of, sparse_outputs, text, values_at

# ---- sums -----------------------------------------------------------------------------------------------------------


def _aligned(a_indices: Any, b_indices: Any) -> tuple[Any, Any, Any]:
    """The indices that either operand has, in order, and where each has them (-1: it doesn't)."""
    both = np.concatenate([a_indices, b_indices])
    indices, numbers = np.unique(both, axis=0, return_inverse=True)
    numbers = numbers.ravel()
    first, second = numbers[: len(a_indices)], numbers[len(a_indices) :]
    if len(np.unique(first)) < len(first) or len(np.unique(second)) < len(second):
        return _aligned_repeats(a_indices, b_indices)
    places = []
    for part in (first, second):
        place = np.full(len(indices), -1)
        place[part] = np.arange(len(part))
        places.append(place)
    return indices, *places


def _aligned_repeats(a_indices: Any, b_indices: Any) -> tuple[Any, Any, Any]:
    """As _aligned, where an operand repeats an index: the first in one meets the first in the other, and so on."""
    a, b = [tuple(index) for index in a_indices.tolist()], [tuple(index) for index in b_indices.tolist()]
    pairs: list[tuple[int, int]] = []
    i = j = 0
    while i < len(a) or j < len(b):
        if j == len(b) or (i < len(a) and a[i] < b[j]):
            pairs.append((i, -1))
            i += 1
        elif i == len(a) or b[j] < a[i]:
            pairs.append((-1, j))
            j += 1
        else:
            pairs.append((i, j))
            i, j = i + 1, j + 1
    in_a, in_b = np.array(pairs, np.int64).reshape(-1, 2).T
    indices = np.array([b[j] if i < 0 else a[i] for i, j in pairs], np.int64).reshape(len(pairs), a_indices.shape[1])
    return indices, in_a, in_b


def _check_alike(a_shape: Any, b_shape: Any) -> None:
    if len(a_shape) != len(b_shape):
        raise ValueError(f"Operands' should have the same ranks; got {text(a_shape)} and {text(b_shape)}")
    for dimension, (left, right) in enumerate(zip(a_shape.tolist(), b_shape.tolist(), strict=True)):
        if left != right:
            raise ValueError(f"Operands' shapes do not match: got {left} and {right} for dimension {dimension}")


def _add_kernel(
    a_indices: Any, a_values: Any, a_shape: Any, b_indices: Any, b_values: Any, b_shape: Any, thresh: Any
) -> tuple[Any, Any, Any]:
    _check_alike(a_shape, b_shape)
    indices, in_a, in_b = _aligned(a_indices, b_indices)
    values = values_at(a_values, in_a) + values_at(b_values, in_b)
    kept = np.abs(values) >= thresh
    return indices[kept], values[kept], a_shape


def _add_gradient(op: Operation, _: Any, dy: Any, __: Any) -> list[Any]:
    of_a, of_b = apply_op(REGISTRY["SparseAddGrad"], (dy, op.inputs[0], op.inputs[3], op.outputs[0]))
    return [None, of_a, None, None, of_b, None, None]


def _add_grad_kernel(dy: Any, a_indices: Any, b_indices: Any, sum_indices: Any) -> tuple[Any, Any]:
    return tuple(values_at(dy, places_in(sum_indices, indices)) for indices in (a_indices, b_indices))


def _rows_of(tensor: Any) -> int | None:
    return tensor.shape.as_list()[0] if tensor.shape.rank == 2 else None


define(
    "SparseAdd",
    "a_indices: int64, a_values: T, a_shape: int64, b_indices: int64, b_values: T, b_shape: int64, thresh: Treal -> "
    "sum_indices: int64, sum_values: T, sum_shape: int64",
    "T: numeric, Treal: real",
    reference=_add_kernel,
    shape=lambda op: sparse_outputs(rank_of(op, 2)),
    gradient=_add_gradient,
)
define(
    "SparseAddGrad",
    "backprop_val_grad: T, a_indices: int64, b_indices: int64, sum_indices: int64 -> a_val_grad: T, b_val_grad: T",
    "T: numeric",
    reference=_add_grad_kernel,
    shape=lambda op: [TensorShape([_rows_of(op.inputs[1])]), TensorShape([_rows_of(op.inputs[2])])],
    gradient=NO_GRADIENT,
)


def _add_dense_kernel(indices: Any, values: Any, shape: Any, dense: Any) -> Any:
    if len(shape) != np.ndim(dense):
        raise ValueError(f"Two operands have different ranks; received: {len(shape)} and {np.ndim(dense)}")
    for dimension, (left, right) in enumerate(zip(shape.tolist(), dense.shape, strict=True)):
        if left != right:
            raise ValueError(
                f"Dimension {dimension} does not equal (no broadcasting is supported): sparse side {left} vs dense side {right}"
            )
    result = np.array(dense)
    np.add.at(result, tuple(indices.T), values)
    return result


define(
    "SparseTensorDenseAdd",
    "a_indices: Tindices, a_values: T, a_shape: Tindices, b: T -> output: T",
    "T: numeric, Tindices: index",
    reference=_add_dense_kernel,
    shape=lambda op: op.inputs[3].shape,
    gradient=lambda op, dy: [None, apply_op(REGISTRY["GatherNd"], (dy, op.inputs[0])), None, dy],
)


# ---- the product with a dense matrix --------------------------------------------------------------------------------


def _matmul_kernel(indices: Any, values: Any, shape: Any, b: Any, *, adjoint_a: bool, adjoint_b: bool) -> Any:
    rows, inner = shape[::-1] if adjoint_a else shape
    b = np.conj(b.T) if adjoint_b else b
    if inner != b.shape[0]:
        raise ValueError(
            f"Cannot multiply A and B because inner dimension does not match: {inner} vs. {b.shape[0]}.  Did you forget a "
            f"transpose?  Dimensions of A: [{rows}, {inner}).  Dimensions of B: {text(b.shape)}"
        )
    row, column = (1, 0) if adjoint_a else (0, 1)
    _check_column(indices, row, rows, "m")
    _check_column(indices, column, inner, "k")
    result = np.zeros((int(rows), b.shape[1]), values.dtype)
    if len(indices):
        weights = np.conj(values) if adjoint_a else values
        np.add.at(result, indices[:, row], weights[:, None] * b[indices[:, column]])
    return result


def _check_column(indices: Any, column: int, limit: Any, label: str) -> None:
    wrong = np.flatnonzero((indices[:, column] < 0) | (indices[:, column] >= limit))
    if len(wrong):
        value = indices[wrong[0], column]
        raise ValueError(f"{label} ({value}) from index[{wrong[0]},{column}] out of bounds (>={limit})")


def _matmul_shape(op: Operation) -> TensorShape:
    a, b = constant_value_as_shape(op.inputs[2]), op.inputs[3].shape
    a = a.as_list() if a.rank == 2 else [None, None]
    b = b.as_list() if b.rank == 2 else [None, None]
    return TensorShape([a[1] if op.attrs["adjoint_a"] else a[0], b[0] if op.attrs["adjoint_b"] else b[1]])


def _matmul_gradient(op: Operation, dy: Any) -> list[Any]:
    indices, values, shape, b = op.inputs
    adjoint_a, adjoint_b = op.attrs["adjoint_a"], op.attrs["adjoint_b"]
    of_b = apply_op(op.definition, (indices, values, shape, dy), {"adjoint_a": not adjoint_a, "adjoint_b": False})
    if adjoint_b:
        of_b = _adjoint(of_b)
    rows, columns = indices[:, 0], indices[:, 1]
    if adjoint_a:
        rows, columns = columns, rows
    left = apply_op(REGISTRY["GatherV2"], (dy, rows, 0))
    right = apply_op(REGISTRY["GatherV2"], (_adjoint(b) if adjoint_b else b, columns, 0))
    of_values = apply_op(REGISTRY["Sum"], (left * conj(right), [-1]), {"keep_dims": False})
    return [None, conj(of_values) if adjoint_a else of_values, None, of_b]


def _adjoint(matrix: Any) -> Any:
    return conj(apply_op(REGISTRY["Transpose"], (matrix, [1, 0])))


define(
    "SparseTensorDenseMatMul",
    "a_indices: Tindices, a_values: T, a_shape: int64, b: T -> product: T",
    "T: type, Tindices: index = int64, adjoint_a: bool = False, adjoint_b: bool = False",
    reference=_matmul_kernel,
    shape=_matmul_shape,
    gradient=_matmul_gradient,
)


# ---- element by element with a dense tensor -------------------------------------------------------------------------


def _at_indices(indices: Any, shape: Any, dense: Any) -> Any:
    """The elements of `dense`, broadcast to `shape`, at `indices`."""
    try:
        whole = np.broadcast_to(dense, tuple(shape.tolist()))
    except ValueError:
        raise ValueError(
            "SparseDenseBinaryOpShared broadcasts dense to sparse only; got incompatible shapes: "
            f"{text(shape)} vs. {text(np.shape(dense))}"
        ) from None
    return whole[tuple(indices.T)]


def _times_gradient(op: Operation, dy: Any) -> list[Any]:
    there = _elements_at(op)
    return [None, dy * there, None, _scatter_back(op, dy * op.inputs[1])]


def _divided_gradient(op: Operation, dy: Any) -> list[Any]:
    values, there = op.inputs[1], _elements_at(op)
    return [None, dy / there, None, _scatter_back(op, -dy * values / (there * there))]


def _elements_at(op: Operation) -> Any:
    """What each sparse value was combined with."""
    return apply_op(REGISTRY["GatherNd"], (op.inputs[3], _dense_indices(op)))


def _scatter_back(op: Operation, gradient: Any) -> Any:
    """The gradient of the dense operand: what flows to each of its elements, summed."""
    sizes = cast(shape_of(op.inputs[3]), dtypes.int64)
    return apply_op(REGISTRY["ScatterNd"], (_dense_indices(op), gradient, sizes))


def _dense_indices(op: Operation) -> Any:
    """The indices of the sparse operand as indices of the dense one: axes that it lacks or has size 1 on don't count."""
    dense = op.inputs[3]
    if dense.shape.rank is None or op.inputs[2].shape.rank != 1 or op.inputs[2].shape.as_list()[0] is None:
        raise ValueError("the gradient of a product of a sparse and a dense tensor needs the ranks of both")
    extra = op.inputs[2].shape.as_list()[0] - dense.shape.rank
    limits = cast(shape_of(dense), dtypes.int64) - 1
    return apply_op(REGISTRY["Minimum"], (op.inputs[0][:, extra:], limits))


def _define_cwise(name: str, combine: Callable[..., Any], gradient: Any) -> None:
    def kernel(indices: Any, values: Any, shape: Any, dense: Any) -> Any:
        return combine(values, _at_indices(indices, shape, dense))

    define(
        f"SparseDenseCwise{name}",
        "sp_indices: int64, sp_values: T, sp_shape: int64, dense: T -> output: T",
        "T: numeric",
        reference=kernel,
        shape=lambda op: op.inputs[1].shape,
        gradient=gradient,
    )


_define_cwise("Mul", np.multiply, _times_gradient)
_define_cwise("Div", lambda x, y: x / y if x.dtype.kind in "fc" else (x / y).astype(x.dtype), _divided_gradient)
_define_cwise("Add", np.add, lambda op, dy: [None, dy, None, _scatter_back(op, dy)])


# ---- reductions -----------------------------------------------------------------------------------------------------


def _groups(indices: Any, shape: Any, axes: Any) -> tuple[list[int], Any, Any]:
    """(axes kept, the group each value belongs to, as an index into the kept axes flattened; their shape)."""
    rank = len(shape)
    for axis in np.ravel(axes).tolist():
        if not -rank <= axis < rank:
            raise ValueError(f"Invalid reduction dimension {axis}, for input with {rank} dimensions.")
    reduced = set(axes_tuple(axes, rank)) if np.size(axes) else set(range(rank))
    kept = [axis for axis in range(rank) if axis not in reduced]
    kept_shape = np.asarray(shape)[kept]
    return kept, flat_positions(indices[:, kept], kept_shape), kept_shape


def _reduced(fold: Any, start: Any, values: Any, groups: Any, size: int) -> tuple[Any, Any]:
    """(the folded values of each group, which groups have any)."""
    present = np.zeros(size, bool)
    present[groups] = True
    result = np.where(present, start, 0).astype(values.dtype)
    fold.at(result, groups, values)
    return result, present


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _define_reduction(name: str, fold: Any, start: Callable[[Any], Any], gradient: Any) -> None:
    def dense(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> Any:
        kept, groups, kept_shape = _groups(indices, shape, axes)
        result, _ = _reduced(fold, start(values.dtype), values, groups, int(np.prod(kept_shape)))
        sizes = (
            [int(size) if axis in kept else 1 for axis, size in enumerate(shape)] if keep_dims else kept_shape.tolist()
        )
        return result.reshape(sizes)

    def sparse(indices: Any, values: Any, shape: Any, axes: Any, *, keep_dims: bool) -> tuple[Any, Any, Any]:
        kept, groups, kept_shape = _groups(indices, shape, axes)
        result, present = _reduced(fold, start(values.dtype), values, groups, int(np.prod(kept_shape)))
        where = np.flatnonzero(present)
        found = np.stack(np.unravel_index(where, tuple(kept_shape)), axis=1) if kept else np.zeros((len(where), 0))
        if keep_dims:
            wide = np.zeros((len(where), len(shape)), np.int64)
            wide[:, kept] = found
            sizes = np.ones(len(shape), np.int64)
            sizes[kept] = kept_shape
            return wide, result[where], sizes
        return found.astype(np.int64), result[where], kept_shape.astype(np.int64)

    inputs = "input_indices: int64, input_values: T, input_shape: int64, reduction_axes: int32"
    attributes = f"keep_dims: bool = False, T: {'numeric' if name == 'Sum' else 'real'}"
    define(
        f"SparseReduce{name}", f"{inputs} -> output: T", attributes,
        reference=dense, shape=_reduced_shape, gradient=gradient,
    )  # fmt: skip
    define(
        f"SparseReduce{name}Sparse",
        f"{inputs} -> output_indices: int64, output_values: T, output_shape: int64", attributes,
        reference=sparse, shape=lambda op: [UNKNOWN] * 3, gradient=NO_GRADIENT,
    )  # fmt: skip


def _reduced_shape(op: Operation) -> TensorShape:
    shape, axes = constant_value_as_shape(op.inputs[2]), constant_value(op.inputs[3])
    if shape.rank is None or axes is None:
        return UNKNOWN
    reduced = axes_tuple(axes, shape.rank) if np.size(axes) else tuple(range(shape.rank))
    if op.attrs["keep_dims"]:
        return TensorShape([1 if axis in reduced else size for axis, size in enumerate(shape.as_list())])
    return TensorShape([size for axis, size in enumerate(shape.as_list()) if axis not in reduced])


def _sum_gradient(op: Operation, dy: Any) -> list[Any]:
    """Each value receives the gradient of the sum that it went into."""
    indices, _, shape, axes = op.inputs
    sizes = apply_op(REGISTRY["Cast"], (shape,), {"DstT": dtypes.int32})
    rank = apply_op(REGISTRY["Size"], (shape,))
    places = apply_op(REGISTRY["FloorMod"], (apply_op(REGISTRY["Reshape"], (axes, [-1])) + rank, rank))
    mask = apply_op(
        REGISTRY["TensorScatterUpdate"], (sizes, apply_op(REGISTRY["ExpandDims"], (places, 1)), _ones(places))
    )
    kept = apply_op(REGISTRY["Reshape"], (dy, mask))
    within = apply_op(REGISTRY["Minimum"], (indices, cast(mask - 1, dtypes.int64)))
    return [None, apply_op(REGISTRY["GatherNd"], (kept, within)), None, None]


def _ones(like: Any) -> Any:
    return apply_op(REGISTRY["OnesLike"], (like,))


_define_reduction("Sum", np.add, lambda dtype: 0, _sum_gradient)
_define_reduction("Max", np.maximum, _lowest, NO_GRADIENT)


# ---- softmax --------------------------------------------------------------------------------------------------------


def _rows(indices: Any, shape: Any) -> Any:
    """A number for the row (all axes but the last) that each value stands in."""
    return np.unique(flat_positions(indices[:, :-1], shape[:-1]), return_inverse=True)[1].ravel()


def _softmax_kernel(indices: Any, values: Any, shape: Any) -> Any:
    if not len(values):
        return values
    rows = _rows(indices, shape)
    highest = np.full(rows.max() + 1, -np.inf, values.dtype)
    np.maximum.at(highest, rows, values)
    exponentials = np.exp(values - highest[rows])
    return exponentials / np.bincount(rows, exponentials)[rows].astype(values.dtype)


def _softmax_gradient(op: Operation, dy: Any) -> list[Any]:
    indices, _, shape = op.inputs
    y = op.outputs[0]
    total = apply_op(REGISTRY["SparseReduceSum"], (indices, y * dy, shape, [-1]), {"keep_dims": True})
    ones = convert_to_tensor(1, dtypes.int64)
    last = apply_op(REGISTRY["ZerosLike"], (indices[:, -1:],)) * ones
    there = apply_op(REGISTRY["GatherNd"], (total, apply_op(REGISTRY["ConcatV2"], ([indices[:, :-1], last], 1))))
    return [None, (dy - there) * y, None]


define(
    "SparseSoftmax",
    "sp_indices: int64, sp_values: T, sp_shape: int64 -> output: T",
    "T: floating",
    reference=_softmax_kernel,
    shape=lambda op: op.inputs[1].shape,
    gradient=_softmax_gradient,
)


# ---- minimum and maximum of two sparse tensors ----------------------------------------------------------------------


def _define_extremum(name: str, choose: Callable[..., Any]) -> None:
    def kernel(
        a_indices: Any, a_values: Any, a_shape: Any, b_indices: Any, b_values: Any, b_shape: Any
    ) -> tuple[Any, Any]:
        _check_alike(a_shape, b_shape)
        indices, in_a, in_b = _aligned(a_indices, b_indices)
        return indices, choose(values_at(a_values, in_a), values_at(b_values, in_b))

    define(
        f"SparseSparse{name}",
        "a_indices: int64, a_values: T, a_shape: int64, b_indices: int64, b_values: T, b_shape: int64 -> "
        "output_indices: int64, output_values: T",
        "T: numeric",
        reference=kernel,
        shape=lambda op: [TensorShape([None, None]), TensorShape([None])],
        gradient=_extremum_gradient,
    )


def _extremum_gradient(op: Operation, _: Any, dy: Any) -> list[Any]:
    """As TensorFlow's: each value that is in the result receives the gradient there (both, where they are equal)."""
    gradients = []
    for start in (0, 3):
        indices, values = op.inputs[start], op.inputs[start + 1]
        chosen = apply_op(REGISTRY["SparseAddGrad"], (op.outputs[1], indices, indices, op.outputs[0])).a_val_grad
        flowing = apply_op(REGISTRY["SparseAddGrad"], (dy, indices, indices, op.outputs[0])).a_val_grad
        won = cast(apply_op(REGISTRY["Equal"], (chosen, values)), dy.dtype)
        gradients.append(flowing * won)
    return [None, gradients[0], None, None, gradients[1], None]


_define_extremum("Maximum", np.maximum)
_define_extremum("Minimum", np.minimum)
