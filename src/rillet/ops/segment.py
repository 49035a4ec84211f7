"""Reductions of groups of rows: which group a row belongs to is said by an id.

Sorted ids (segment_sum ...), ids in any order (unsorted_segment_sum ...), and rows picked by index first
(sparse.segment_sum ...), as in the lookup of bags of embeddings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, convert_to_tensor
from rillet.core.dtypes import DType
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.cast import cast
from rillet.ops.creation import ones
from rillet.ops.creation import ones_like_v1 as ones_like
from rillet.ops.creation import zeros_like_v1 as zeros_like
from rillet.ops.elementwise import conj
from rillet.ops.families import require_rank
from rillet.ops.precision import wide
from rillet.ops.scope import scope
from rillet.ops.shape import rank, reshape, shape

# ---- kernels --------------------------------------------------------------------------------------------------------


def _of_groups(ufunc: np.ufunc, rows: Any, ids: Any, count: int, empty: Any) -> Any:
    """`ufunc` over the rows of each of `count` groups. ids: the group of each row, not negative; empty: what a group
    without rows gets."""
    if np.any(ids[1:] < ids[:-1]):
        order = np.argsort(ids, kind="stable")
        rows, ids = rows[order], ids[order]
    rows = wide(rows)
    result = np.full((count, *rows.shape[1:]), empty, rows.dtype)
    if ids.size:
        starts = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
        precise = np.float64 if ufunc is np.add and rows.dtype == np.float32 else rows.dtype
        result[ids[starts]] = ufunc.reduceat(rows, starts, 0, precise)
    return result


def _counts(ids: Any, count: int, ndim: int) -> Any:
    """How many rows each group has (1 where none), with as many dimensions as the rows have."""
    return np.maximum(np.bincount(ids, minlength=count), 1).reshape(-1, *[1] * (ndim - 1))


def _divided(total: Any, counts: Any) -> Any:
    return total // counts if total.dtype.kind in "iu" else total / counts.astype(total.dtype)


def _count_sorted(data: Any, ids: Any) -> int:
    """The number of groups that sorted ids make. ValueError when they aren't sorted, or don't fit the rows."""
    if data.ndim < 1:
        raise ValueError("input must be at least rank 1")
    if ids.ndim != 1:
        raise ValueError("segment_ids should be a vector.")
    if len(ids) != len(data):
        raise ValueError("segment_ids should be the same size as dimension 0 of input.")
    return _check_sorted(ids)


def _check_sorted(ids: Any) -> int:
    if not ids.size:
        return 0
    if np.any(ids[1:] < ids[:-1]):
        raise ValueError("segment ids are not increasing")
    count = int(ids[-1]) + 1
    if ids[0] < 0:
        raise ValueError(
            f"Segment id {ids[0]} out of range [0, {max(count, 0)}), possibly because 'segment_ids' input is not sorted."
        )
    return count


def _sorted_kernel(ufunc: np.ufunc, empty: Any) -> Any:
    def kernel(data: Any, segment_ids: Any) -> Any:
        return _of_groups(ufunc, data, segment_ids, _count_sorted(data, segment_ids), empty)

    return kernel


def _mean_kernel(data: Any, segment_ids: Any) -> Any:
    count = _count_sorted(data, segment_ids)
    return _divided(_of_groups(np.add, data, segment_ids, count, 0), _counts(segment_ids, count, data.ndim))


def _unsorted_kernel(ufunc: np.ufunc, empty: Callable[[DType], Any]) -> Any:
    def kernel(data: Any, segment_ids: Any, num_segments: Any) -> Any:
        count = _checked_count(num_segments)
        if data.shape[: segment_ids.ndim] != segment_ids.shape:
            shapes = format_shape(data.shape), format_shape(segment_ids.shape)
            raise ValueError(f"data.shape = {shapes[0]} does not start with segment_ids.shape = {shapes[1]}")
        ids = np.ravel(segment_ids)
        outside = np.flatnonzero(ids >= count)
        if outside.size:
            place = np.unravel_index(outside[0], np.shape(segment_ids))
            where = ",".join(map(str, place))
            raise ValueError(f"segment_ids[{where}] = {ids[outside[0]]} is out of range [0, {count})")
        rows = data.reshape(ids.size, *data.shape[segment_ids.ndim :])
        kept = ids >= 0
        if not kept.all():
            rows, ids = rows[kept], ids[kept]
        return _of_groups(ufunc, rows, ids, count, empty(dtypes.as_dtype(data.dtype)))

    return kernel


def _checked_count(num_segments: Any) -> int:
    if np.ndim(num_segments):
        raise ValueError(f"num_segments should be a scalar, not shape {format_shape(np.shape(num_segments))}")
    if num_segments < 0:
        raise ValueError(f"Input num_segments == {num_segments} must not be negative.")
    return int(num_segments)


Weights = Callable[[Any], Any]  # from the number of rows of each group to what its sum is divided by
_WEIGHTS: dict[str, Weights | None] = {"Sum": None, "Mean": lambda counts: counts, "SqrtN": np.sqrt}


def _picked_kernel(weights: Weights | None) -> Any:
    def kernel(data: Any, indices: Any, segment_ids: Any, num_segments: Any = None) -> Any:
        _check_indices(indices, segment_ids, len(data))
        count = _check_sorted(segment_ids)
        if num_segments is not None:
            if count > num_segments:
                raise ValueError("segment ids must be < num_segments")
            count = int(num_segments)
        total = _of_groups(np.add, data[indices], segment_ids, count, 0)
        if weights is None:
            return total
        return _divided(total, weights(_counts(segment_ids, count, data.ndim)))

    return kernel


def _check_indices(indices: Any, segment_ids: Any, length: int) -> None:
    if indices.ndim != 1 or segment_ids.ndim != 1:
        raise ValueError("indices and segment_ids should be vectors.")
    if len(indices) != len(segment_ids):
        raise ValueError("segment_ids and indices should have same size.")
    outside = np.flatnonzero((indices < 0) | (indices >= length))
    if outside.size:
        raise ValueError(f"Bad: indices[{outside[0]}] == {indices[outside[0]]} out of range [0, {length})")


def _spread_rows(grad: Any, segment_ids: Any, weights: Weights | None) -> Any:
    """The gradient of each picked row."""
    if segment_ids.size and not 0 <= segment_ids.min() <= segment_ids.max() < len(grad):
        raise ValueError(f"Segment id out of range [0, {len(grad)}).")
    rows = wide(grad)
    if weights is not None:
        rows = _divided(rows, weights(_counts(segment_ids, len(grad), grad.ndim)))
    return rows[segment_ids]


def _picked_gradient_kernel(weights: Weights | None) -> Any:
    def kernel(grad: Any, indices: Any, segment_ids: Any, output_dim0: Any) -> Any:
        _check_positions(indices, int(output_dim0))
        return _of_groups(np.add, _spread_rows(grad, segment_ids, weights), indices, int(output_dim0), 0)

    return kernel


def _picked_slices_kernel(weights: Weights | None) -> Any:
    def kernel(grad: Any, indices: Any, segment_ids: Any, dense_output_dim0: Any) -> Any:
        _check_positions(indices, int(dense_output_dim0))
        unique, places = np.unique(indices, return_inverse=True)
        rows = _spread_rows(grad, segment_ids, weights)
        return _of_groups(np.add, rows, places.astype(indices.dtype), len(unique), 0), unique

    return kernel


def _check_positions(indices: Any, length: int) -> None:
    outside = indices[(indices < 0) | (indices >= length)]
    if outside.size:
        raise ValueError(f"Index {outside[0]} out of range [0, {length}).")


# ---- static inference -----------------------------------------------------------------------------------------------


def _sorted_shape(op: Operation) -> TensorShape:
    require_rank(op, 1, 1)
    source = op.inputs[0].shape
    return UNKNOWN if source.dimensions is None else TensorShape([None, *source.dimensions[1:]])


def _static_count(op: Operation, index: int) -> int | None:
    count = constant_value(op.inputs[index])
    if count is None:
        return None
    if np.ndim(count):
        raise ShapeError(f"num_segments should be a scalar, not shape {format_shape(np.shape(count))}")
    if count < 0:
        raise ShapeError(
            f"Dimension size, given by scalar input {index}, must be non-negative but is {count}",
            f"Input num_segments == {count} must not be negative.",
        )
    return int(count)


def _unsorted_shape(op: Operation) -> TensorShape:
    source, ids = op.inputs[0].shape, op.inputs[1].shape
    count = _static_count(op, 2)
    if source.dimensions is None or ids.dimensions is None:
        return UNKNOWN
    front = source[: len(ids.dimensions)]
    if not front.is_compatible_with(ids):
        shapes = f"{format_shape(source.dimensions)} and {format_shape(ids.dimensions)}"
        axes = [
            axis
            for axis, (a, b) in enumerate(zip(front.dimensions, ids.dimensions))
            if a is not None and b is not None and a != b
        ]
        sizes = [(front[axis], ids[axis]) for axis in axes] or [(front.rank, ids.rank)]
        raise ShapeError(
            f"Dimensions must be equal, but are {sizes[0][0]} and {sizes[0][1]} for '{op.type}' with input shapes: {shapes}.",
            f"data.shape = {format_shape(source.dimensions)} does not start with segment_ids.shape = "
            f"{format_shape(ids.dimensions)}",
            {0: axes, 1: axes},
        )
    return TensorShape([count, *source.dimensions[len(ids.dimensions) :]])


def _counted_shape(op: Operation, index: int) -> TensorShape:
    source = op.inputs[0].shape
    count = _static_count(op, index)
    return UNKNOWN if source.dimensions is None else TensorShape([count, *source.dimensions[1:]])


def _picked_shape(op: Operation) -> TensorShape:
    require_rank(op, 1, 1)
    require_rank(op, 2, 1)
    if len(op.inputs) == 4:
        return _counted_shape(op, 3)
    source = op.inputs[0].shape
    return UNKNOWN if source.dimensions is None else TensorShape([None, *source.dimensions[1:]])


def _picked_slices_shape(op: Operation) -> list[TensorShape]:
    source = op.inputs[0].shape
    rows = UNKNOWN if source.dimensions is None else TensorShape([None, *source.dimensions[1:]])
    return [rows, TensorShape([None])]


# ---- gradients ------------------------------------------------------------------------------------------------------


def _gather(values: Any, ids: Any) -> Any:
    return apply_op(REGISTRY["GatherV2"], (values, ids, 0))


def _where(condition: Any, x: Any, y: Any) -> Any:
    return apply_op(REGISTRY["SelectV2"], (condition, x, y))


def _at_least_one(count: Any) -> Any:
    return apply_op(REGISTRY["Maximum"], (count, count.dtype.as_numpy_dtype(1)))


def _divide(x: Any, y: Any) -> Any:
    return apply_op(REGISTRY["RealDiv"], (x, y), name="truediv")


def _segment_op(op: Operation, reduction: str, values: Any) -> Any:
    """The segment op of the same kind and ids as `op` with another reduction, on `values`."""
    is_unsorted = op.type.startswith("Unsorted")
    name = f"UnsortedSegment{reduction}" if is_unsorted else f"Segment{reduction}"
    return apply_op(REGISTRY[name], (values, *op.inputs[1:]))


def _of_rows(op: Operation, values: Any) -> Any:
    """What each row gets of the `values` of the groups: nothing for rows with a negative id, which no group has."""
    ids = op.inputs[1]
    if not op.type.startswith("Unsorted"):
        return _gather(values, ids)
    gathered = _gather(values, apply_op(REGISTRY["Maximum"], (ids, zeros_like(ids))))
    return _where(_belongs(ids, gathered), gathered, zeros_like(gathered))


def _belongs(ids: Any, rows: Any) -> Any:
    """Whether the id of each row is one, in the shape of `rows`."""
    mask = apply_op(REGISTRY["GreaterEqual"], (ids, ids.dtype.as_numpy_dtype(0)))
    if isinstance(mask, EagerTensor):
        extra = rows._array.ndim - mask._array.ndim
        mask = reshape(mask, np.array([*mask._array.shape, *[1] * extra], np.int32))
    else:
        ids_shape, extra = shape(ids), rank(rows) - rank(ids)
        full = apply_op(REGISTRY["ConcatV2"], ([ids_shape, ones([extra], dtypes.int32)], 0), name="concat")
        mask = reshape(mask, full)
    return apply_op(REGISTRY["LogicalAnd"], (mask, ones_like(rows, dtypes.bool)), name="and")


def _nothing_for(op: Operation, gradient: Any) -> list[Any]:
    return [gradient, *[None] * (len(op.inputs) - 1)]


def _sum_gradient(op: Operation, dy: Any) -> list[Any]:
    return _nothing_for(op, _of_rows(op, dy))


def _mean_gradient(op: Operation, dy: Any) -> list[Any]:
    x, ids = op.inputs
    counts = apply_op(REGISTRY["SegmentSum"], (ones(_column_shape(x, ids), dy.dtype), ids))
    return _nothing_for(op, _gather(_divide(dy, _at_least_one(counts)), ids))


def _column_shape(x: Any, ids: Any) -> Any:
    """The length of `ids`, followed by as many ones as make the rank of `x`."""
    if x.shape.rank is not None and ids.shape.is_fully_defined():
        return np.array([ids.shape[0], *[1] * (x.shape.rank - 1)], np.int32)
    extra = apply_op(REGISTRY["ExpandDims"], (rank(x) - 1, 0))
    return apply_op(REGISTRY["ConcatV2"], ([shape(ids), ones(extra, dtypes.int32)], 0), name="concat")


def _extremum_gradient(op: Operation, dy: Any) -> list[Any]:
    """Rows that are equally extreme share the gradient of their group."""
    x = op.inputs[0]
    chosen = apply_op(REGISTRY["Equal"], (x, _of_rows(op, op.outputs[0])))
    if op.type.startswith("Unsorted"):
        chosen = apply_op(REGISTRY["LogicalAnd"], (chosen, _belongs(op.inputs[1], x)))
    count = _segment_op(op, "Sum", cast(chosen, dy.dtype))
    shared = _of_rows(op, _divide(dy, _at_least_one(count)))
    return _nothing_for(op, _where(chosen, shared, zeros_like(shared)))


def _product_gradient(op: Operation, dy: Any) -> list[Any]:
    """The product of the other rows of the group: by division, and where a row is zero as the product without zeros."""
    x = op.inputs[0]
    is_zero = apply_op(REGISTRY["Equal"], (x, x.dtype.as_numpy_dtype(0)))
    zeros = _segment_op(op, "Sum", cast(is_zero, dtypes.int32))
    dy = _where(apply_op(REGISTRY["Greater"], (zeros, np.int32(1))), zeros_like(dy), dy)
    nonzero = _where(is_zero, ones_like(x), x)
    others = _of_rows(op, _segment_op(op, "Prod", nonzero))
    partial = _where(is_zero, others, _divide(_of_rows(op, op.outputs[0]), nonzero))
    return _nothing_for(op, _of_rows(op, dy) * conj(partial))


def _picked_gradient(op: Operation, dy: Any) -> list[Any]:
    kind = op.type.removeprefix("SparseSegment").removesuffix("WithNumSegments")
    length = shape(op.inputs[0])[0]
    inputs = (dy, op.inputs[1], op.inputs[2], length)
    if not op.attrs["sparse_gradient"]:
        return _nothing_for(op, apply_op(REGISTRY[f"SparseSegment{kind}Grad"], inputs))
    rows, indices = apply_op(REGISTRY[f"SparseSegment{kind}GradV2"], inputs)
    return _nothing_for(op, IndexedSlices(rows, indices, shape(op.inputs[0])))


def _gradient_of_picked_gradient(op: Operation, dz: Any) -> list[Any]:
    kind = op.type.removeprefix("SparseSegment").removesuffix("Grad")
    inputs = (dz, op.inputs[1], op.inputs[2], shape(op.inputs[0])[0])
    return _nothing_for(op, apply_op(REGISTRY[f"SparseSegment{kind}WithNumSegments"], inputs))


def _gradient_of_picked_slices(op: Operation, dz: Any, _: Any) -> list[Any]:
    kind = op.type.removeprefix("SparseSegment").removesuffix("GradV2")
    dense = apply_op(REGISTRY["UnsortedSegmentSum"], (dz, op.outputs[1], op.inputs[3]))
    inputs = (dense, op.inputs[1], op.inputs[2], shape(op.inputs[0])[0])
    return _nothing_for(op, apply_op(REGISTRY[f"SparseSegment{kind}WithNumSegments"], inputs))


# ---- the ops --------------------------------------------------------------------------------------------------------

_KINDS: dict[str, tuple[np.ufunc, Any, Callable[[DType], Any], str, Any, str]] = {
    # kind: (ufunc, of a group without rows (sorted ids), (unsorted ids), dtypes, gradient, in words)
    "Sum": (np.add, 0, lambda dtype: 0, "numeric", _sum_gradient, "sum"),
    "Prod": (np.multiply, 1, lambda dtype: 1, "numeric", _product_gradient, "product"),
    "Max": (np.maximum, 0, lambda dtype: dtype.min, "real", _extremum_gradient, "largest element"),
    "Min": (np.minimum, 0, lambda dtype: dtype.max, "real", _extremum_gradient, "smallest element"),
}


def _sorted(kind: str, definition: OpDef, words: str, empty: str) -> Callable[..., Any]:
    def function(data: Any, segment_ids: Any, name: str | None = None) -> Any:
        return apply_op(definition, (data, segment_ids), name=name)

    function.__name__ = function.__qualname__ = f"segment_{kind.lower()}"
    function.__doc__ = (
        f"The {words} of the rows of `data` that have one id: row i of the result is for id i ({empty} if there is none).\n\n"
        "    segment_ids: int32 or int64, one for each row, never falling.\n"
        "    Raises InvalidArgumentError when the ids are not sorted, negative, or not as many as rows.\n    "
    )
    export(function, f"math.segment_{kind.lower()}", v1=[f"segment_{kind.lower()}"])
    return function


def _unsorted(kind: str, definition: OpDef, words: str, empty: str) -> Callable[..., Any]:
    def function(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Any:
        return apply_op(definition, (data, segment_ids, num_segments), name=name)

    function.__name__ = function.__qualname__ = f"unsorted_segment_{kind.lower()}"
    function.__doc__ = (
        f"The {words} of the parts of `data` that have one id, for the ids 0 to num_segments - 1 ({empty} if there is none).\n\n"
        "    segment_ids: integers in any order, of a shape that data.shape starts with; parts with a negative id are left out.\n"
        "    Raises InvalidArgumentError for ids that are too large.\n    "
    )
    export(function, f"math.unsorted_segment_{kind.lower()}", v1=[f"unsorted_segment_{kind.lower()}"])
    return function


for _kind, (_ufunc, _empty, _lowest, _types, _rule, _words) in _KINDS.items():
    _definition = define(
        f"Segment{_kind}", "data: T, segment_ids: Tindices -> output: T", f"T: {_types}, Tindices: index",
        reference=_sorted_kernel(_ufunc, _empty), shape=_sorted_shape, gradient=_rule,
    )  # fmt: skip
    _sorted(_kind, _definition, _words, str(_empty))
    _definition = define(
        f"UnsortedSegment{_kind}", "data: T, segment_ids: Tindices, num_segments: Tnumsegments -> output: T",
        f"T: {_types}, Tindices: index, Tnumsegments: index = int32",
        reference=_unsorted_kernel(_ufunc, _lowest), shape=_unsorted_shape, gradient=_rule,
    )  # fmt: skip
    _unsorted(
        _kind, _definition, _words, {"Max": "the lowest number", "Min": "the highest number"}.get(_kind, str(_empty))
    )

SEGMENT_MEAN = define(
    "SegmentMean", "data: T, segment_ids: Tindices -> output: T", "T: numeric, Tindices: index",
    reference=_mean_kernel, shape=_sorted_shape, gradient=_mean_gradient,
)  # fmt: skip
segment_mean = _sorted("Mean", SEGMENT_MEAN, "mean", "0")

for _kind, _weights in _WEIGHTS.items():
    _types = "real" if _kind == "Sum" else "floating"
    _common = f"T: {_types}, Tidx: index = int32, Tsegmentids: index = int32"
    define(
        f"SparseSegment{_kind}", "data: T, indices: Tidx, segment_ids: Tsegmentids -> output: T",
        f"{_common}, sparse_gradient: bool = False",
        reference=_picked_kernel(_weights), shape=_picked_shape, gradient=_picked_gradient,
    )  # fmt: skip
    define(
        f"SparseSegment{_kind}WithNumSegments",
        "data: T, indices: Tidx, segment_ids: Tsegmentids, num_segments: Tnumsegments -> output: T",
        f"{_common}, Tnumsegments: index = int32, sparse_gradient: bool = False",
        reference=_picked_kernel(_weights), shape=_picked_shape, gradient=_picked_gradient,
    )  # fmt: skip
    _common = "T: floating, Tidx: index = int32, Tsegmentids: index = int32"
    define(
        f"SparseSegment{_kind}Grad",
        "grad: T, indices: Tidx, segment_ids: Tsegmentids, output_dim0: int32 -> output: T", _common,
        reference=_picked_gradient_kernel(_weights), shape=lambda op: _counted_shape(op, 3),
        gradient=_gradient_of_picked_gradient,
    )  # fmt: skip
    define(
        f"SparseSegment{_kind}GradV2",
        "grad: T, indices: Tidx, segment_ids: Tsegmentids, dense_output_dim0: int32 -> output: T, "
        "sorted_unique_indices: Tidx", _common,
        reference=_picked_slices_kernel(_weights), shape=_picked_slices_shape, gradient=_gradient_of_picked_slices,
    )  # fmt: skip


# ---- public functions made of several ops ---------------------------------------------------------------------------


def _segment_counts(data: Any, segment_ids: Any, num_segments: Any) -> Any:
    """How many parts each group has, at least 1, of a shape that broadcasts to the result."""
    if isinstance(segment_ids, EagerTensor) and isinstance(data, EagerTensor):
        each = EagerTensor(np.ones(segment_ids._array.shape, data.dtype.numpy_dtype), data.dtype)
        counts = apply_op(REGISTRY["UnsortedSegmentSum"], (each, segment_ids, num_segments))
        extra = data._array.ndim - segment_ids._array.ndim
        return _at_least_one(reshape(counts, np.array([-1, *[1] * extra], np.int32)))
    ids_shape = shape(segment_ids)
    counts = apply_op(REGISTRY["UnsortedSegmentSum"], (ones(ids_shape, data.dtype), segment_ids, num_segments))
    first = num_segments[np.newaxis]
    extra = ones([rank(data) - rank(segment_ids)], num_segments.dtype)
    return _at_least_one(reshape(counts, apply_op(REGISTRY["ConcatV2"], ([first, extra], 0), name="concat")))


@public("math.unsorted_segment_mean", v1=["unsorted_segment_mean"])
def unsorted_segment_mean(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Any:
    """The mean of the parts of `data` that have one id (0 if there is none); see unsorted_segment_sum."""
    with scope(name or "UnsortedSegmentMean", data, segment_ids, num_segments):
        data, segment_ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
        counts = _segment_counts(data, segment_ids, convert_to_tensor(num_segments))
        total = apply_op(REGISTRY["UnsortedSegmentSum"], (data, segment_ids, num_segments))
        return _divide(total, counts)


@public("math.unsorted_segment_sqrt_n", v1=["unsorted_segment_sqrt_n"])
def unsorted_segment_sqrt_n(data: Any, segment_ids: Any, num_segments: Any, name: str | None = None) -> Any:
    """The sum of the parts of `data` that have one id, over the square root of their number; see unsorted_segment_sum."""
    with scope(name or "UnsortedSegmentSqrtN", data, segment_ids, num_segments):
        data, segment_ids = convert_to_tensor(data), convert_to_tensor(segment_ids)
        counts = _segment_counts(data, segment_ids, convert_to_tensor(num_segments))
        total = apply_op(REGISTRY["UnsortedSegmentSum"], (data, segment_ids, num_segments))
        return _divide(total, apply_op(REGISTRY["Sqrt"], (counts,)))


def _picked(kind: str, name: str, words: str) -> None:
    plain, counted = REGISTRY[f"SparseSegment{kind}"], REGISTRY[f"SparseSegment{kind}WithNumSegments"]

    def function(
        data: Any,
        indices: Any,
        segment_ids: Any,
        num_segments: Any = None,
        name: str | None = None,
        sparse_gradient: bool = False,
    ) -> Any:
        attrs = {"sparse_gradient": sparse_gradient}
        if num_segments is None:
            return apply_op(plain, (data, indices, segment_ids), attrs, name)
        return apply_op(counted, (data, indices, segment_ids, num_segments), attrs, name)

    def function_v1(
        data: Any,
        indices: Any,
        segment_ids: Any,
        name: str | None = None,
        num_segments: Any = None,
        sparse_gradient: bool = False,
    ) -> Any:
        return function(data, indices, segment_ids, num_segments, name, sparse_gradient)

    function.__doc__ = function_v1.__doc__ = (
        f"{words} of the rows data[indices] that have one id.\n\n"
        "    indices, segment_ids: vectors of one length; the ids never fall. num_segments: rows of the result (one for each\n"
        "    id up to the last when None). sparse_gradient: the gradient of `data` comes as IndexedSlices.\n"
        "    Raises InvalidArgumentError for indices or ids out of range.\n    "
    )
    export(function, v2=[f"sparse.segment_{name}"])
    export(function_v1, v1=[f"sparse.segment_{name}", f"sparse_segment_{name}"])


_picked("Sum", "sum", "The sum")
_picked("Mean", "mean", "The mean")
_picked("SqrtN", "sqrt_n", "The sum over the square root of the number")
