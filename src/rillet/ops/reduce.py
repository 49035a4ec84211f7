"""Reductions: sums, products, means, extrema, norms and positions of extrema over axes."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rillet.core import dtypes
from rillet.core.dispatch import apply_op, constant_in, convert_to_tensor, graph_for
from rillet.core.export import export, public
from rillet.core.graph import Operation
from rillet.core.indexed_slices import IndexedSlices
from rillet.core.opdef import NO_GRADIENT, REGISTRY, OpDef, define
from rillet.core.shapes import UNKNOWN, TensorShape
from rillet.core.static import constant_value
from rillet.core.tensor import EagerTensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.arguments import renamed
from rillet.ops.cast import cast
from rillet.ops.creation import ones
from rillet.ops.elementwise import conj
from rillet.ops.families import axes_tuple, eager_axes, reduction
from rillet.ops.precision import is_low, wide
from rillet.ops.shape import rank, reshape, shape, size

# ---- kernels --------------------------------------------------------------------------------------------------------

_WIDER = {np.dtype(np.float32): np.dtype(np.float64), np.dtype(np.complex64): np.dtype(np.complex128)}
_FEW = 256


def accumulator(array: Any, axes: tuple[int, ...]) -> Any:
    """The dtype in which a sum over `axes` is precise to the last digit or so of the dtype of `array`.

    Half precision is summed in float32. Of wider types NumPy adds neighbours in memory pairwise, which is precise, but
    takes many terms that lie apart one after the other: those are added in double precision.
    """
    dtype = array.dtype
    if array.size <= _FEW or dtype not in _WIDER:
        return np.float32 if is_low(dtype) else dtype
    neighbours = array.flags.c_contiguous and axes == tuple(range(array.ndim - len(axes), array.ndim))
    return dtype if neighbours else _WIDER[dtype]


def _sum(array: Any, axes: tuple[int, ...], keep_dims: bool) -> Any:
    return np.add.reduce(array, axes, accumulator(array, axes), keepdims=keep_dims)


def _product(array: Any, axes: tuple[int, ...], keep_dims: bool) -> Any:
    dtype = array.dtype
    return np.multiply.reduce(array, axes, np.float32 if is_low(dtype) else dtype, keepdims=keep_dims)


def _mean(array: Any, axes: tuple[int, ...], keep_dims: bool) -> Any:
    is_integer = array.dtype.kind in "iu"
    total = np.add.reduce(array, axes, None if is_integer else accumulator(array, axes), keepdims=keep_dims)
    count = 1
    for axis in axes:
        count *= array.shape[axis]
    if not is_integer:
        return total / total.dtype.type(count)
    if not count:
        return np.zeros_like(total)
    return np.where(total < 0, -(-total // count), total // count)


def _extremum(ufunc: np.ufunc, identity: Callable[[dtypes.DType], Any]) -> Any:
    def kernel(array: Any, axes: tuple[int, ...], keep_dims: bool) -> Any:
        if array.size:
            return ufunc.reduce(array, axes, keepdims=keep_dims)
        return ufunc.reduce(array, axes, keepdims=keep_dims, initial=identity(dtypes.as_dtype(array.dtype)))

    return kernel


def lowest(dtype: dtypes.DType) -> Any:
    """What is not above any number of `dtype`: -infinity where there is one."""
    return dtype.as_numpy_dtype(-np.inf) if dtype.is_floating else dtype.min


def highest(dtype: dtypes.DType) -> Any:
    """What is not below any number of `dtype`: infinity where there is one."""
    return dtype.as_numpy_dtype(np.inf) if dtype.is_floating else dtype.max


def _logical(ufunc: np.ufunc) -> Any:
    return lambda array, axes, keep_dims: ufunc.reduce(array, axes, keepdims=keep_dims)


def _euclidean_norm(array: Any, axes: tuple[int, ...], keep_dims: bool) -> Any:
    if array.dtype.kind == "c":
        array = np.abs(array)
    array = wide(array)
    return np.sqrt(np.asarray(_sum(array * array, axes, keep_dims)))


# ---- gradients ------------------------------------------------------------------------------------------------------


def kept_shape(op: Operation) -> Any:
    """The shape of the output as keep_dims gives it: a list where it is known, else a tensor."""
    known = _static_kept_shape(op)
    return _dynamic_kept_shape(op, shape(op.inputs[0])) if known is None else known


def _static_kept_shape(op: Operation) -> list[int] | None:
    source, axes = op.inputs[0].shape, constant_value(op.inputs[1])
    if axes is None or not source.is_fully_defined():
        return None
    wanted = axes_tuple(axes, source.rank)
    return [1 if axis in wanted else size for axis, size in enumerate(source.dimensions)]


def _dynamic_kept_shape(op: Operation, source_shape: Any) -> Any:
    """`source_shape` with ones in place of the axes of `op`."""
    count, axes = _positive_axes(op, source_shape)
    axes_shape = shape(axes)
    every = apply_op(REGISTRY["Range"], (0, count, 1), name="range")
    return apply_op(REGISTRY["DynamicStitch"], ([every, axes], [source_shape, ones(axes_shape, dtypes.int32)]))


def _positive_axes(op: Operation, source_shape: Any) -> tuple[Any, Any]:
    """The rank of the input, and the axes of `op` as positive numbers."""
    count = size(source_shape)
    axes = cast(op.inputs[1], dtypes.int32)
    return count, apply_op(REGISTRY["FloorMod"], (axes + count, count), name="mod")


def _is_full(op: Operation) -> bool:
    rank, axes = op.inputs[0].shape.rank, constant_value(op.inputs[1])
    return rank is not None and axes is not None and len(axes_tuple(axes, rank)) == rank


def _sum_gradient(op: Operation, dy: Any) -> list[Any]:
    return [_spread(op, dy), None]


def _spread(op: Operation, dy: Any) -> Any:
    """The gradient of a sum: that of the output, repeated along the axes. The nodes are those that TensorFlow makes."""
    x = op.inputs[0]
    if isinstance(x, EagerTensor) and isinstance(dy, IndexedSlices):
        dy = convert_to_tensor(dy)
    if isinstance(x, EagerTensor) and isinstance(dy, EagerTensor):
        return _spread_now(op, dy, x._array.shape)
    if _is_full(op):
        dy = reshape(dy, [1] * x.shape.rank)
        known = np.array(x.shape.as_list(), np.int32) if x.shape.is_fully_defined() else None
        return apply_op(REGISTRY["Tile"], (dy, shape(x) if known is None else _constant_beside(x, known)))
    kept = _static_kept_shape(op)
    if kept is None:
        source_shape = shape(x)
        if not op.attrs["keep_dims"]:
            dy = reshape(dy, _dynamic_kept_shape(op, source_shape))
        return apply_op(REGISTRY["BroadcastTo"], (dy, source_shape))
    sizes = np.array(x.shape.as_list(), np.int32)
    _note_reduced_shape(graph_for((x, dy)), sizes, kept)
    return apply_op(REGISTRY["Tile"], (reshape(dy, kept), sizes // np.maximum(kept, 1)))


def _spread_now(op: Operation, dy: EagerTensor, sizes: tuple[int, ...]) -> Any:
    axes = axes_tuple(op.inputs[1]._array, len(sizes))
    if axes != tuple(range(len(axes))) and not op.attrs["keep_dims"]:  # axes in front come back by broadcasting
        dy = reshape(dy, _concrete([1 if axis in axes else size for axis, size in enumerate(sizes)]))
    return apply_op(REGISTRY["BroadcastTo"], (dy, _concrete(sizes)))


def _concrete(sizes: Sequence[int]) -> EagerTensor:
    return EagerTensor(np.array(sizes, np.int32), dtypes.int32)


_NOTED: weakref.WeakKeyDictionary[Any, set[Any]] = weakref.WeakKeyDictionary()


def _note_reduced_shape(graph: Any, sizes: Any, kept: list[int]) -> None:
    """The first time that a graph sees a pair of shapes, TensorFlow adds the nodes that divide one by the other (to no
    use: the quotient is known). The number of nodes decides the seeds of random ops, so they are added here too."""
    noted = _NOTED.setdefault(graph, set())
    key = (tuple(sizes.tolist()), tuple(kept))
    if key not in noted:
        noted.add(key)
        least = apply_op(REGISTRY["Maximum"], (np.array(kept, np.int32), 1))
        apply_op(REGISTRY["FloorDiv"], (sizes, least), name="floordiv")


def _constant_beside(x: Any, value: Any, name: str = "Const") -> Any:
    """A constant where ops on `x` go."""
    return constant_in(graph_for((x,)), value, dtypes.as_dtype(value.dtype), name)


def _mean_gradient(op: Operation, dy: Any) -> list[Any]:
    return [_divide(_spread(op, dy), _mean_count(op)), None]


def _divide(x: Any, y: Any) -> Any:
    return apply_op(REGISTRY["RealDiv"], (x, y), name="truediv")


def _mean_count(op: Operation) -> Any:
    """How many numbers each mean is made of, in their dtype."""
    x = op.inputs[0]
    kept = _static_kept_shape(op)
    if kept is not None:
        count = max(x.shape.num_elements() // max(int(np.prod(kept)), 1), 1)
        return _constant_beside(x, x.dtype.as_numpy_dtype(count))
    source_shape = shape(x)
    _, axes = _positive_axes(op, source_shape)
    sizes = apply_op(REGISTRY["GatherV2"], (source_shape, axes, 0))
    return cast(reduce_prod(sizes), x.dtype)


def _extremum_gradient(op: Operation, dy: Any) -> list[Any]:
    """Elements that are equally extreme share the gradient."""
    x, kept = op.inputs[0], _kept_shape_beside_shape(op)
    y = reshape(op.outputs[0], kept)
    dy = reshape(dy, kept)
    chosen = cast(apply_op(REGISTRY["Equal"], (y, x)), x.dtype)
    count = reshape(reduce_sum(chosen, op.inputs[1]), kept)
    return [_divide(chosen, count) * dy, None]


def _kept_shape_beside_shape(op: Operation) -> Any:
    """`kept_shape`, after the shape of the input (which TensorFlow's gradients ask for, needed or not)."""
    known = _static_kept_shape(op)
    if isinstance(op.inputs[0], EagerTensor) and known is not None:
        return known
    source_shape = shape(op.inputs[0])
    return _dynamic_kept_shape(op, source_shape) if known is None else known


def _product_gradient(op: Operation, dy: Any) -> list[Any]:
    """The product of the others, right also where some are zero: products of those before times of those behind."""
    x = op.inputs[0]
    if x.shape.rank == 0:
        return [reshape(dy, shape(x)), None]
    source_shape = shape(x)
    axes = reshape(op.inputs[1], [-1])
    known = _static_kept_shape(op)
    dy = reshape(dy, _dynamic_kept_shape(op, source_shape) if known is None else known)
    dy = apply_op(REGISTRY["BroadcastTo"], (dy, source_shape))
    count = rank(x)
    axes = apply_op(REGISTRY["FloorMod"], (cast(axes, dtypes.int32) + count, count), name="mod")
    every = apply_op(REGISTRY["Range"], (0, count, 1), name="range")
    others = apply_op(REGISTRY["ListDiff"], (every, axes))[0]
    order = apply_op(REGISTRY["ConcatV2"], ([axes, others], 0), name="concat")
    depth = reduce_prod(apply_op(REGISTRY["GatherV2"], (source_shape, axes, 0)))
    width = reduce_prod(apply_op(REGISTRY["GatherV2"], (source_shape, others, 0)))
    moved = apply_op(REGISTRY["Transpose"], (x, order), name="transpose")
    moved_shape = shape(moved)
    columns = reshape(moved, [depth, width])
    before = apply_op(REGISTRY["Cumprod"], (columns, 0), {"exclusive": True})
    behind = apply_op(REGISTRY["Cumprod"], (columns, 0), {"exclusive": True, "reverse": True})
    partial = reshape(conj(before) * conj(behind), moved_shape)
    back = apply_op(REGISTRY["InvertPermutation"], (order,))
    result = dy * apply_op(REGISTRY["Transpose"], (partial, back), name="transpose")
    return [reshape(result, source_shape), None]


def _euclidean_norm_gradient(op: Operation, dy: Any) -> list[Any]:
    kept = _kept_shape_beside_shape(op)
    y = reshape(op.outputs[0], kept)
    if dy.dtype.is_complex:  # a norm is real, whatever its dtype
        dy = cast(apply_op(REGISTRY["Real"], (dy,), {"Tout": dy.dtype.real_dtype}), dy.dtype)
    return [_divide(op.inputs[0], _divide(y, reshape(dy, kept))), None]


# ---- the ops --------------------------------------------------------------------------------------------------------

reduce_sum = reduction(
    "Sum", _sum, "numeric", _sum_gradient,
    names=["reduce_sum", "math.reduce_sum"], doc="The sum over `axis` (None: all axes).",
)  # fmt: skip
reduce_mean = reduction(
    "Mean", _mean, "numeric", _mean_gradient,
    names=["reduce_mean", "math.reduce_mean"], doc="The mean over `axis` (None: all axes); integers are truncated.",
)  # fmt: skip
reduce_prod = reduction(
    "Prod", _product, "numeric", _product_gradient,
    names=["reduce_prod", "math.reduce_prod"], doc="The product over `axis` (None: all axes).",
)  # fmt: skip
reduce_max = reduction(
    "Max", _extremum(np.maximum, lowest), "real", _extremum_gradient,
    names=["reduce_max", "math.reduce_max"], doc="The largest element over `axis` (None: all axes).",
)  # fmt: skip
reduce_min = reduction(
    "Min", _extremum(np.minimum, highest), "real", _extremum_gradient,
    names=["reduce_min", "math.reduce_min"], doc="The smallest element over `axis` (None: all axes).",
)  # fmt: skip
reduce_all = reduction(
    "All", _logical(np.logical_and), "bool", NO_GRADIENT,
    names=["reduce_all", "math.reduce_all"], doc="Whether all elements over `axis` (None: all axes) are true.",
)  # fmt: skip
reduce_any = reduction(
    "Any", _logical(np.logical_or), "bool", NO_GRADIENT,
    names=["reduce_any", "math.reduce_any"], doc="Whether any element over `axis` (None: all axes) is true.",
)  # fmt: skip
reduce_euclidean_norm = reduction(
    "EuclideanNorm", _euclidean_norm, "numeric", _euclidean_norm_gradient,
    doc="The square root of the sum of squares over `axis` (None: all axes).",
)  # fmt: skip
export(reduce_euclidean_norm, "math.reduce_euclidean_norm")

# ---- positions of extrema -------------------------------------------------------------------------------------------


def _extreme_position(find: Callable[..., Any], worst: Callable[[dtypes.DType], Any]) -> Any:
    def kernel(array: Any, dimension: Any, *, output_type: dtypes.DType) -> Any:
        axis, rank = int(dimension), array.ndim
        if not -rank <= axis < rank:
            raise ValueError(f"Expected dimension in the range [{-rank}, {rank}), but got {axis}")
        axis %= rank
        if array.size == 0:
            others = [size for other, size in enumerate(array.shape) if other != axis]
            if 0 not in others:
                raise ValueError(f"Reduction axis {axis} is empty in shape {format_shape(array.shape)}")
            return np.zeros(others, np.int64)
        if array.dtype.kind not in "biu":
            unordered = np.isnan(array)  # nan is no extremum
            array = np.where(unordered, worst(dtypes.as_dtype(array.dtype)), array) if unordered.any() else array
        return find(array, axis=axis).astype(output_type.numpy_dtype)

    return kernel


def _position_shape(op: Operation) -> TensorShape:
    source, axis = op.inputs[0].shape, constant_value(op.inputs[1])
    if source.dimensions is None:
        return UNKNOWN
    rank = len(source.dimensions)
    if axis is None:
        return TensorShape([None] * max(rank - 1, 0))
    if not -rank <= axis < rank:
        raise ShapeError(
            f"Dimension ({axis}) must be in the range [{-rank}, {rank}), where {rank} is the number of dimensions in the "
            "input.",
            f"Expected dimension in the range [{-rank}, {rank}), but got {axis}",
            {0: range(rank)},
        )
    return TensorShape([size for other, size in enumerate(source.dimensions) if other != axis % rank])


ARG_MAX = define(
    "ArgMax", "input: T, dimension: Tidx -> output: output_type",
    "T: {float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool}, "
    "Tidx: {int16, int32, int64} = int32, output_type: {int16, uint16, int32, int64} = int64",
    reference=_extreme_position(np.argmax, lowest), shape=_position_shape, gradient=NO_GRADIENT,
)  # fmt: skip
ARG_MIN = define(
    "ArgMin", "input: T, dimension: Tidx -> output: output_type",
    "T: {float16, bfloat16, float32, float64, int8, int16, int32, int64, uint8, uint16, uint32, uint64, bool}, "
    "Tidx: index = int32, output_type: index = int64",
    reference=_extreme_position(np.argmin, highest), shape=_position_shape, gradient=NO_GRADIENT,
)  # fmt: skip


def _position(definition: OpDef, input: Any, axis: Any, output_type: Any, name: str | None) -> Any:
    axis = 0 if axis is None else axis
    if isinstance(axis, (list, tuple, float)) or (isinstance(axis, np.ndarray) and axis.ndim):
        raise TypeError("axis must be int or Tensor with integer datatype")
    return apply_op(definition, (input, eager_axes(axis)), {"output_type": dtypes.as_dtype(output_type)}, name)


@public(v2=["argmax", "math.argmax"])
def argmax(input: Any, axis: Any = None, output_type: Any = dtypes.int64, name: str | None = None) -> Any:
    """Where along `axis` (None: the first) the largest element lies; the first one of several. NaN is never the largest.

    Raises InvalidArgumentError for an axis out of range, and for one without elements.
    """
    return _position(ARG_MAX, input, axis, output_type, name)


@public(v2=["argmin", "math.argmin"])
def argmin(input: Any, axis: Any = None, output_type: Any = dtypes.int64, name: str | None = None) -> Any:
    """Where along `axis` (None: the first) the smallest element lies; the first one of several. NaN is never the smallest.

    Raises InvalidArgumentError for an axis out of range, and for one without elements.
    """
    return _position(ARG_MIN, input, axis, output_type, name)


@public(v1=["argmax", "math.argmax", "arg_max"])
def argmax_v1(
    input: Any, axis: Any = None, name: str | None = None, dimension: Any = None, output_type: Any = dtypes.int64
) -> Any:
    return argmax(input, renamed("axis", axis, "dimension", dimension), output_type, name)


@public(v1=["argmin", "math.argmin", "arg_min"])
def argmin_v1(
    input: Any, axis: Any = None, name: str | None = None, dimension: Any = None, output_type: Any = dtypes.int64
) -> Any:
    return argmin(input, renamed("axis", axis, "dimension", dimension), output_type, name)
