"""Sets: the rows of a tensor (along its last axis), dense or sparse, taken as sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.export import public
from rillet.core.graph import Operation
from rillet.core.opdef import NO_GRADIENT, REGISTRY, define
from rillet.core.shapes import TensorShape
from rillet.core.sparse_tensor import SparseTensor, SparseTensorValue
from rillet.errors import ShapeError
from rillet.ops.sparse import check_order, some_places, static_rank

# ---- kernels --------------------------------------------------------------------------------------------------------

_Sets = dict[tuple[int, ...], set[Any]]
_OPERATIONS = {
    "a-b": set.difference,
    "b-a": lambda a, b: b - a,
    "intersection": set.intersection,
    "union": set.union,
}


def _dense_sets(values: Any) -> tuple[_Sets, tuple[int, ...]]:
    """The set of each row by its place, and the shape of the places."""
    values = np.asarray(values)
    if values.ndim < 2:
        raise ValueError(f"Invalid input with rank {values.ndim}: a set operation wants at least rank 2")
    return {place: set(values[place].tolist()) for place in np.ndindex(values.shape[:-1])}, values.shape[:-1]


def _sparse_sets(indices: Any, values: Any, shape: Any, validate: bool) -> tuple[_Sets, tuple[int, ...]]:
    if len(shape) < 2:
        raise ValueError(f"Invalid input with rank {len(shape)}: a set operation wants at least rank 2")
    if validate:
        check_order(indices, shape)
    found: _Sets = {}
    for place, value in zip(map(tuple, indices[:, :-1].tolist()), np.asarray(values).tolist(), strict=True):
        found.setdefault(place, set()).add(value)
    return found, tuple(int(size) for size in shape[:-1])


def _combined(first: Any, second: Any, operation: str, dtype: Any) -> tuple[Any, Any, Any]:
    (a, a_shape), (b, b_shape) = first, second
    if operation not in _OPERATIONS:
        raise ValueError(f"Invalid set_operation {operation}.")
    if a_shape != b_shape:
        raise ValueError(f"Mismatched group shapes: {list(a_shape)} vs. {list(b_shape)}")
    nothing: set[Any] = set()
    results = {
        place: sorted(_OPERATIONS[operation](a.get(place, nothing), b.get(place, nothing))) for place in {*a, *b}
    }
    indices = [(*place, column) for place in sorted(results) for column in range(len(results[place]))]
    values = [value for place in sorted(results) for value in results[place]]
    elements = np.empty(len(values), dtype)
    elements[:] = values
    longest = max(map(len, results.values()), default=0)
    return np.array(indices, np.int64).reshape(-1, len(a_shape) + 1), elements, np.array([*a_shape, longest], np.int64)


def _dense_to_dense(a: Any, b: Any, *, set_operation: str) -> Any:
    return _combined(_dense_sets(a), _dense_sets(b), set_operation, np.asarray(a).dtype)


def _dense_to_sparse(
    a: Any, indices: Any, values: Any, shape: Any, *, set_operation: str, validate_indices: bool
) -> Any:
    second = _sparse_sets(indices, values, shape, validate_indices)
    return _combined(_dense_sets(a), second, set_operation, values.dtype)


def _sparse_to_sparse(*parts: Any, set_operation: str, validate_indices: bool) -> Any:
    first, second = (_sparse_sets(*half, validate_indices) for half in (parts[:3], parts[3:]))
    return _combined(first, second, set_operation, parts[1].dtype)


def _set_size_kernel(indices: Any, values: Any, shape: Any, *, validate_indices: bool) -> Any:
    found, places = _sparse_sets(indices, values, shape, validate_indices)
    result = np.zeros(places, np.int32)
    for place, members in found.items():
        result[place] = len(members)
    return result


# ---- the ops --------------------------------------------------------------------------------------------------------


def _result_shapes(rank: int | None) -> list[TensorShape]:
    if rank is not None and rank < 2:
        raise ShapeError(f"Shape must be at least rank 2 but is rank {rank}")
    return [*some_places(rank), TensorShape([rank])]


def _dense_shapes(op: Operation) -> list[TensorShape]:
    ranks = [tensor.shape.rank for tensor in op.inputs[:2] if tensor.shape.rank is not None]
    if len(set(ranks)) > 1:
        raise ShapeError(f"Ranks do not match: {ranks[0]} and {ranks[1]}")
    return _result_shapes(ranks[0] if ranks else None)


_TYPES = "T: {int8, int16, int32, int64, uint8, uint16, string}"
_OPTIONS = f"set_operation: string, validate_indices: bool = True, {_TYPES}"
_RESULT = "result_indices: int64, result_values: T, result_shape: int64"
DENSE_TO_DENSE = define(
    "DenseToDenseSetOperation", f"set1: T, set2: T -> {_RESULT}", _OPTIONS,
    reference=_dense_to_dense, shape=_dense_shapes, gradient=NO_GRADIENT,
)  # fmt: skip
DENSE_TO_SPARSE = define(
    "DenseToSparseSetOperation",
    f"set1: T, set2_indices: int64, set2_values: T, set2_shape: int64 -> {_RESULT}", _OPTIONS,
    reference=_dense_to_sparse, shape=lambda op: _result_shapes(static_rank(op, 1, 3)), gradient=NO_GRADIENT,
)  # fmt: skip
SPARSE_TO_SPARSE = define(
    "SparseToSparseSetOperation",
    "set1_indices: int64, set1_values: T, set1_shape: int64, set2_indices: int64, set2_values: T, set2_shape: int64 -> "
    + _RESULT, _OPTIONS,
    reference=_sparse_to_sparse, shape=lambda op: _result_shapes(static_rank(op, 0, 2)), gradient=NO_GRADIENT,
)  # fmt: skip


def _size_shape(op: Operation) -> TensorShape:
    rank = static_rank(op, 0, 2)
    return TensorShape(None if rank is None else [None] * (rank - 1))


SET_SIZE = define(
    "SetSize", "set_indices: int64, set_values: T, set_shape: int64 -> size: int32",
    f"validate_indices: bool = True, {_TYPES}",
    reference=_set_size_kernel, shape=_size_shape, gradient=NO_GRADIENT,
)  # fmt: skip

# ---- public functions -----------------------------------------------------------------------------------------------


def _tensor(value: Any) -> Any:
    if isinstance(value, SparseTensorValue):
        return SparseTensor.from_value(value)
    return value if isinstance(value, SparseTensor) else convert_to_tensor(value)


def _set_operation(a: Any, b: Any, operation: str, validate_indices: bool) -> SparseTensor:
    a, b = _tensor(a), _tensor(b)
    if a.dtype.base_dtype is not b.dtype.base_dtype:
        raise TypeError(f"Types don't match, {a.dtype} vs {b.dtype}.")
    if isinstance(a, SparseTensor) and not isinstance(b, SparseTensor):
        a, b = b, a
        operation = {"a-b": "b-a", "b-a": "a-b"}.get(operation, operation)
    kinds = tuple("Sparse" if isinstance(value, SparseTensor) else "Dense" for value in (a, b))
    parts = [part for value in (a, b) for part in getattr(value, "_flatten_components", lambda value=value: [value])()]
    attrs = {"set_operation": operation, "validate_indices": validate_indices}
    return SparseTensor(*apply_op(REGISTRY[f"{kinds[0]}To{kinds[1]}SetOperation"], tuple(parts), attrs))


@public("sets.intersection", v1=["sets.set_intersection"])
def intersection(a: Any, b: Any, validate_indices: bool = True) -> SparseTensor:
    """The elements that are in both of each pair of rows, rising, as a SparseTensor.

    a, b: tensors or SparseTensors of integers or strings, of the same shape but for the last axis.
    validate_indices: whether sparse indices must be in row-major order. Raises InvalidArgumentError when they aren't.
    """
    return _set_operation(a, b, "intersection", validate_indices)


@public("sets.difference", v1=["sets.set_difference"])
def difference(a: Any, b: Any, aminusb: bool = True, validate_indices: bool = True) -> SparseTensor:
    """The elements of rows of `a` that aren't in `b` (aminusb=False: the other way round); see tf.sets.intersection."""
    return _set_operation(a, b, "a-b" if aminusb else "b-a", validate_indices)


@public("sets.union", v1=["sets.set_union"])
def union(a: Any, b: Any, validate_indices: bool = True) -> SparseTensor:
    """The elements that are in one or both of each pair of rows; see tf.sets.intersection."""
    return _set_operation(a, b, "union", validate_indices)


@public("sets.size", v1=["sets.set_size"])
def size(a: Any, validate_indices: bool = True) -> Any:
    """The number of different elements of each row of a SparseTensor: int32. TypeError for anything else."""
    sparse = _tensor(a)
    if not isinstance(sparse, SparseTensor):
        raise TypeError(f"Expected `SparseTensor`, got {a}.")
    return apply_op(SET_SIZE, tuple(sparse._flatten_components()), {"validate_indices": validate_indices})
