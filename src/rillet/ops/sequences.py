"""Sequences of numbers and what is built from them: range, linspace, meshgrid, one_hot, sequence_mask."""

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
from rillet.core.tensor import Tensor
from rillet.errors import ShapeError, format_shape
from rillet.ops.arrays import as_array
from rillet.ops.cast import cast
from rillet.ops.creation import ones
from rillet.ops.families import all_axes
from rillet.ops.join import concat, stack
from rillet.ops.scope import scope
from rillet.ops.shape import expand_dims, reshape, size_of_tensor

# ---- range ----------------------------------------------------------------------------------------------------------


def _range_length(start: Any, limit: Any, delta: Any) -> int:
    """The number of elements. ValueError, in TensorFlow's words, where there is no such range."""
    if delta == 0:
        raise ValueError("Requires delta != 0: 0")
    if delta > 0 and start > limit:
        raise ValueError(f"Requires start <= limit when delta > 0: {start}/{limit}")
    if delta < 0 and start < limit:
        raise ValueError(f"Requires start >= limit when delta < 0: {start}/{limit}")
    if isinstance(start, int):
        return -(-(limit - start) // delta)
    return int(np.ceil(abs((limit - start) / delta)))


def _numbers(values: Any) -> list[Any]:
    """Scalars as Python numbers."""
    for label, value in zip(("start", "limit", "delta"), values, strict=True):
        if np.ndim(value):
            raise ValueError(f"{label} must be a scalar, not shape {format_shape(np.shape(value))}")
    integral = np.asarray(values[0]).dtype.kind in "iu"
    return [int(value) if integral else float(value) for value in values]


def _range_kernel(start: Any, limit: Any, delta: Any) -> Any:
    first, last, step = _numbers((start, limit, delta))
    dtype = np.asarray(start).dtype
    places = np.arange(_range_length(first, last, step))
    if isinstance(first, int):
        return (first + step * places).astype(dtype)
    return np.asarray(start + delta * places.astype(dtype), dtype)


def _range_shape(op: Operation) -> TensorShape:
    for index, tensor in enumerate(op.inputs):
        if tensor.shape.rank not in (None, 0):
            name = op.definition.signature.inputs[index].name
            raise ShapeError(
                f"Shape must be rank 0 but is rank {tensor.shape.rank}: {name} is a scalar.",
                f"{name} must be a scalar, not shape {format_shape(tensor.shape.dimensions)}",
            )
    values = [constant_value(tensor) for tensor in op.inputs]
    if any(value is None for value in values):
        return TensorShape([None])
    try:
        return TensorShape([_range_length(*_numbers(values))])
    except ValueError as error:
        raise ShapeError(str(error)) from None


RANGE = define(
    "Range", "start: Tidx, limit: Tidx, delta: Tidx -> output: Tidx",
    "Tidx: {bfloat16, float16, float32, float64, int8, int16, int32, int64, uint16, uint32} = int32",
    reference=_range_kernel, shape=_range_shape, gradient=NO_GRADIENT,
)  # fmt: skip

_WIDER = (dtypes.int32, dtypes.int64, dtypes.float16, dtypes.bfloat16, dtypes.float32, dtypes.float64)


@public("range")
def range_(start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: str = "range") -> Any:
    """start, start + delta, start + 2 * delta ... as long as it is below `limit` (above it, for a negative delta).

    With one argument, `range(limit)` starts at 0. dtype: of the result; None takes the widest dtype of the arguments.
    Raises InvalidArgumentError (ValueError while building a graph) when delta is 0 or leads away from limit.
    """
    if limit is None:
        start, limit = 0, start
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    with scope(name or "range", start, limit, delta) as full_name:
        parts = (("start", start), ("limit", limit), ("delta", delta))
        tensors = [_bound(label, value, wanted) for label, value in parts]
        if wanted is None:
            wanted = _widest([tensor.dtype.base_dtype for tensor in tensors])
        return apply_op(RANGE, [cast(tensor, wanted) for tensor in tensors], {"Tidx": wanted}, full_name)


range_.__name__ = range_.__qualname__ = "range"


def _bound(label: str, value: Any, wanted: DType | None) -> Any:
    has_dtype = isinstance(value, Tensor) or hasattr(value, "__tf_tensor__")
    return convert_to_tensor(value, None if has_dtype else wanted, name=label)


def _widest(found: list[DType]) -> DType:
    if all(dtype is found[0] for dtype in found):
        return found[0]
    return max(found, key=lambda dtype: _WIDER.index(dtype) if dtype in _WIDER else -1)


# ---- linspace -------------------------------------------------------------------------------------------------------


def _lin_space_kernel(start: Any, stop: Any, num: Any) -> Any:
    count = int(num)
    if count <= 0:
        raise ValueError(f"Requires num > 0: {count}")
    dtype = np.asarray(start).dtype
    if count == 1:
        return np.asarray([start], dtype)
    step = np.asarray((stop - start) / dtype.type(count - 1), dtype)
    result = np.asarray(start + step * np.arange(count).astype(dtype), dtype)
    result[-1] = stop
    return result


def _lin_space_shape(op: Operation) -> TensorShape:
    num = constant_value(op.inputs[2])
    if num is not None and int(num) <= 0:
        raise ShapeError(f"Requires num > 0: {int(num)}")
    return TensorShape([None if num is None else int(num)])


def _lin_space_gradient(op: Operation, dy: Any) -> list[Any]:
    """Each end in proportion to how near it is."""
    zero, one = (_constant(number, dy.dtype) for number in (0, 1))
    share = apply_op(LIN_SPACE, (zero, one, op.inputs[2]))
    of_stop = apply_op(REGISTRY["Sum"], (dy * share, [0]), {"keep_dims": False})
    return [apply_op(REGISTRY["Sum"], (dy, [0]), {"keep_dims": False}) - of_stop, of_stop, None]


LIN_SPACE = define(
    "LinSpace", "start: T, stop: T, num: Tidx -> output: T", "T: {bfloat16, float16, float32, float64}, Tidx: index = int32",
    reference=_lin_space_kernel, shape=_lin_space_shape, gradient=_lin_space_gradient,
)  # fmt: skip


@public("linspace", v1=["lin_space"])
def linspace(start: Any, stop: Any, num: Any, name: str | None = None, axis: int = 0) -> Any:
    """`num` evenly spaced values from `start` to `stop`, both included.

    start, stop: floats (integers become float64) that broadcast together; a new axis of size num is inserted at `axis`.
    """
    with scope(name or "linspace", start, stop) as full_name:
        start = convert_to_tensor(start, name="start")
        stop = convert_to_tensor(stop, start.dtype.base_dtype, name="stop")
        if start.dtype.is_integer:
            start, stop = cast(start, dtypes.float64), cast(stop, dtypes.float64)
        known = constant_value(num)
        if start.shape.rank == 0 and stop.shape.rank == 0 and (known is None or int(known) > 0):
            return apply_op(LIN_SPACE, (start, stop, num), name=full_name)
        return _spaced(start, stop, num, axis)


def _spaced(start: Any, stop: Any, num: Any, axis: int) -> Any:
    """start + i * (stop - start) / (num - 1), with the ends exactly start and stop."""
    shape = apply_op(REGISTRY["BroadcastArgs"], (_shape(start), _shape(stop)))
    start, stop = (apply_op(REGISTRY["BroadcastTo"], (value, shape)) for value in (start, stop))
    first, last = expand_dims(start, axis), expand_dims(stop, axis)
    count = cast(convert_to_tensor(num, name="num"), dtypes.int32)
    inside = apply_op(REGISTRY["Maximum"], (count - 2, 0))
    step = (last - first) / cast(apply_op(REGISTRY["Maximum"], (count - 1, 1)), first.dtype)
    total_rank = size_of_tensor(_shape(first))
    place = total_rank + axis if axis < 0 else convert_to_tensor(axis, dtypes.int32)
    is_axis = apply_op(ONE_HOT, (place, total_rank, np.int32(1), np.int32(0)))
    numbers = reshape(cast(range_(1, inside + 1), first.dtype), 1 - 2 * is_axis)  # -1 for the axis, 1 for the others
    whole = concat([first, first + step * numbers, last], place)
    return apply_op(REGISTRY["Slice"], (whole, 0 * is_axis, (count + 1) * is_axis - 1))


def _shape(value: Any) -> Any:
    return apply_op(REGISTRY["Shape"], (value,))


# ---- meshgrid -------------------------------------------------------------------------------------------------------


@public("meshgrid")
def meshgrid(*args: Any, **kwargs: Any) -> list[Any]:
    """Coordinate arrays of a grid: for vectors x1 ... xn, n tensors of rank n that hold their values along one axis.

    indexing: "xy" (the first two axes exchanged, as in a picture) or "ij". TypeError for another keyword.
    """
    indexing, name = kwargs.pop("indexing", "xy"), kwargs.pop("name", "meshgrid")
    if kwargs:
        raise TypeError(f"'{next(iter(kwargs))}' is an invalid keyword argument for this function")
    if indexing not in ("xy", "ij"):
        raise ValueError(f"Argument `indexing` parameter must be either 'xy' or 'ij', got '{indexing}'")
    if not args:
        return []
    with scope(name, *args):
        rank = len(args)
        vectors = [
            reshape(stack(x), [-1 if axis == place else 1 for axis in range(rank)]) for place, x in enumerate(args)
        ]
        extents = [size_of_tensor(x) for x in args]
        dtype = convert_to_tensor(args[0]).dtype.base_dtype
        if indexing == "xy" and rank > 1:
            vectors[0] = reshape(vectors[0], [1, -1] + [1] * (rank - 2))
            vectors[1] = reshape(vectors[1], [-1, 1] + [1] * (rank - 2))
            extents[0], extents[1] = extents[1], extents[0]
        whole = ones(extents, dtype)
        return [vector * whole for vector in vectors]


# ---- one_hot --------------------------------------------------------------------------------------------------------


def _one_hot_kernel(indices: Any, depth: Any, on_value: Any, off_value: Any, *, axis: int) -> Any:
    indices, on, off = as_array(indices), as_array(on_value), as_array(off_value)
    if np.ndim(depth):
        raise ValueError(f"depth must be a scalar, but got: {format_shape(np.shape(depth))}")
    if not -1 <= axis <= indices.ndim:
        raise ValueError(f"Expected axis to be -1 or between [0, {indices.ndim + 1}).  But received: {axis}")
    if int(depth) < 0:
        raise ValueError(f"depth must be non-negative, got: {int(depth)}")
    place = indices.ndim if axis == -1 else axis
    numbers = np.arange(int(depth)).reshape(-1, *(1,) * (indices.ndim - place))
    return np.where(np.expand_dims(indices, place) == numbers, on, off)


def _one_hot_shape(op: Operation) -> TensorShape:
    dimensions, depth, axis = op.inputs[0].shape.dimensions, constant_value(op.inputs[1]), op.attrs["axis"]
    if dimensions is None:
        return UNKNOWN
    if not -1 <= axis <= len(dimensions):
        raise ShapeError(f"Expected axis to be -1 or between [0, {len(dimensions) + 1}).  But received: {axis}")
    if depth is not None and np.ndim(depth):
        raise ShapeError(
            f"Shape must be rank 0 but is rank {np.ndim(depth)}: depth is a scalar.",
            f"depth must be a scalar, but got: {format_shape(np.shape(depth))}",
        )
    if depth is not None and int(depth) < 0:
        raise ShapeError(f"Dimension {int(depth)} must be >= 0", f"depth must be non-negative, got: {int(depth)}")
    place = len(dimensions) if axis == -1 else axis
    return TensorShape([*dimensions[:place], None if depth is None else int(depth), *dimensions[place:]])


ONE_HOT = define(
    "OneHot", "indices: TI, depth: int32, on_value: T, off_value: T -> output: T",
    "axis: int = -1, T: type, TI: {uint8, int8, int32, int64} = int64",
    reference=_one_hot_kernel, shape=_one_hot_shape, gradient=NO_GRADIENT,
)  # fmt: skip


@public("one_hot")
def one_hot(
    indices: Any,
    depth: Any,
    on_value: Any = None,
    off_value: Any = None,
    axis: int | None = None,
    dtype: Any = None,
    name: str | None = None,
) -> Any:
    """`on_value` (1) where the new axis of size `depth` has the index, `off_value` (0) elsewhere.

    indices: integers; one outside [0, depth) gives a row of off_value. axis: where the new axis goes (last where None).
    dtype: of the result (float32); on_value and off_value agree with it, or TypeError.
    """
    wanted = None if dtype is None else dtypes.as_dtype(dtype)
    with scope(name or "one_hot", indices, depth, on_value, off_value) as full_name:
        on = None if on_value is None else convert_to_tensor(on_value, dtype_hint=wanted)
        off = None if off_value is None else convert_to_tensor(off_value, dtype_hint=wanted)
        for label, tensor in (("on_value", on), ("off_value", off)):
            if tensor is not None and wanted is not None and tensor.dtype.base_dtype is not wanted:
                raise TypeError(f"dtype {tensor.dtype.base_dtype} of {label} does not match dtype parameter {wanted}")
        if on is not None and off is not None and on.dtype.base_dtype is not off.dtype.base_dtype:
            raise TypeError(f"dtype {on.dtype} of on_value does not match dtype {off.dtype} of off_value")
        given = on if on is not None else off
        wanted = wanted or (dtypes.float32 if given is None else given.dtype.base_dtype)
        on = convert_to_tensor(1, wanted, name="on_value") if on is None else on
        off = convert_to_tensor(0, wanted, name="off_value") if off is None else off
        return apply_op(ONE_HOT, (indices, depth, on, off), {"axis": -1 if axis is None else int(axis)}, full_name)


# ---- sequence_mask --------------------------------------------------------------------------------------------------


@public("sequence_mask")
def sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = dtypes.bool, name: str | None = None) -> Any:
    """mask[..., j] = j < lengths[...], with a last axis of size `maxlen` (the largest length where None).

    Raises ValueError when maxlen is no scalar.
    """
    with scope(name or "SequenceMask", lengths, maxlen):
        lengths = convert_to_tensor(lengths)
        if maxlen is None:
            longest = apply_op(REGISTRY["Max"], (lengths, _every_axis(lengths)), {"keep_dims": False})
            maxlen = apply_op(REGISTRY["Maximum"], (_constant(0, longest.dtype), longest))
        else:
            maxlen = convert_to_tensor(maxlen)
        if maxlen.shape.rank not in (None, 0):
            raise ValueError(
                f"Argument `maxlen` must be scalar for sequence_mask, received `maxlen` = {maxlen} with shape "
                f"'{maxlen.shape}' instead"
            )
        row = apply_op(RANGE, (_constant(0, maxlen.dtype), maxlen, _constant(1, maxlen.dtype)))
        column = apply_op(REGISTRY["Cast"], (expand_dims(lengths, -1),), {"DstT": maxlen.dtype.base_dtype})
        mask = apply_op(REGISTRY["Less"], (row, column))
        return mask if dtype is None else cast(mask, dtype)


def _every_axis(value: Any) -> Any:
    axes = all_axes(value)
    return convert_to_tensor(axes, name="Const") if isinstance(axes, np.ndarray) else axes


def _constant(number: int, dtype: DType) -> Any:
    return convert_to_tensor(number, dtype.base_dtype, name="Const")
